"""The verbs of `thalweg words`. Only these modules may print and know options."""
