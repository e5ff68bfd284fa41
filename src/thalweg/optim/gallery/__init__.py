"""The pages of the gallery that this part brings."""
