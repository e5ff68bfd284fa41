"""The words part's pages of the gallery."""
