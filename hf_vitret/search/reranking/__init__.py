"""Re-ranking and query expansion: better neighbour lists, computed from the lists of a first search."""
