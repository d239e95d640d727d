"""Build an index: choose its kind, fill it, measure it, and write it to a folder."""
