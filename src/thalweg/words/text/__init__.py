"""From bytes to a stream of word numbers: which files, which encoding, which words, which vocabulary."""
