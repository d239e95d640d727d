"""A metric for `evaluate.load`, which copies the script beside this file."""
