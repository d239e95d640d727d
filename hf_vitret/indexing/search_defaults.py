"""Default settings of query expansion and of re-ranking, in a module that imports nothing."""

# Query expansion: number of images that are added to a query, and power of their scores (arXiv 1711.02512: 50 and 3).
NUM_EXPANDING, ALPHA = 10, 3.0
# Re-ranking: number of candidates, and the settings of arXiv 1701.08398.
NUM_CANDIDATES = 200
K1, K2, WEIGHT = 20, 6, 0.3
