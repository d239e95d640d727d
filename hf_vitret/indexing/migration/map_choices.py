"""Settings of a map between the embeddings of two models, in a file that loads nothing."""

METHODS = ("ridge", "orthogonal")
# Of the mean variance of the inputs: enough that few images give a map at all.
DEFAULT_RIDGE = 1e-3
MAX_IMAGES = 50_000  # of 384 dimensions 77 MB a model
