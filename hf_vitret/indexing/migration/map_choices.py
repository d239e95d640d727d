"""Settings of an `EmbeddingMap`, in a module that imports nothing, for the help of the command line."""

METHODS = ("ridge", "orthogonal")
# In units of the mean variance of the inputs: enough that a few images give a map.
DEFAULT_RIDGE = 1e-3
MAX_IMAGES = 50_000  # 77 MB per model at 384 dimensions
