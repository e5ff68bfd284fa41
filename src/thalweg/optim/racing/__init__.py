"""Rules against each other on test problems, each at its best rate."""
