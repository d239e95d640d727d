"""Settings of the searches that look twice."""

# Of query expansion: images that are added to a query, and the power of their scores (arXiv 1711.02512 has 50 and 3).
NUM_EXPANDING, ALPHA = 10, 3.0
# Of re-ranking: images that are ordered, and the settings of arXiv 1701.08398.
NUM_CANDIDATES = 200
K1, K2, WEIGHT = 20, 6, 0.3
