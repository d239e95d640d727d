"""Settings that have a fixed set of names, in a module that imports nothing, for the help of the command line."""

# Data types in which a model computes; "auto" is the faster of float32 and bfloat16 on the device.
COMPUTE_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Data types in which vectors are stored.
STORED_DTYPES = ("float32", "float16", "int8")
FILE_FORMATS = ("parquet", "npy")
SHARD_SIZE = 4096  # number of images of a folder, or rows of a table, in one shard
