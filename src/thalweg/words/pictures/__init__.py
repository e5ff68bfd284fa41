"""Maps of words as pictures: places, labels, drawing."""
