"""What can be chosen by name, in a file that loads nothing: the command line shows it in its help."""

# In which type a model computes; the first is the faster of the next two on the device.
COMPUTE_DTYPES = ("auto", "float32", "bfloat16", "float16")
# How vectors are stored.
STORED_DTYPES = ("float32", "float16", "int8")
FILE_FORMATS = ("parquet", "npy")
SHARD_SIZE = 4096  # images of a folder, or rows of a table, in one shard
