"""How good vectors are: test sets, analogies, and the fit to the counts themselves."""
