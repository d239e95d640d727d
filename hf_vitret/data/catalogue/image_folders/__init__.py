"""A folder of images: its splits, and the classes that folders or metadata files name."""
