"""What the vectors of words answer, as arrays: neighbours, expressions, texts; their spelling, letters and files."""
