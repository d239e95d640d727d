"""A small landmark data set in the official formats, rendered from photographs that installed packages ship."""
