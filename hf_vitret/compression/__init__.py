"""Shorter and smaller vectors: PCA, whitening, int8 and binary codes."""
