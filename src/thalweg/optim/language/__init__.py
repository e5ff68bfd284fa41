"""The language that a rule is written in: declared numbers, slots, a step in plain operators, and the program it becomes."""
