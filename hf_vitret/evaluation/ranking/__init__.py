"""Exact ranks of the positives of each query, computed from scores in tiles, on one process or several."""
