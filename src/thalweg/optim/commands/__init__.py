"""The verbs of `thalweg optim`. Only these modules may print and know options."""
