"""What runs a program: NumPy and plain torch (`reference`), lists of tensors (`foreach`), compiled loops (`compiled`)."""
