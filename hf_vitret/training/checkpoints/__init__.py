"""Checkpoints of a run: their contents, resuming from them, pushing them to the Hub and fetching them from there."""
