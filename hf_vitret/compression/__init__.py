"""Vectors of fewer dimensions or fewer bytes: PCA, learned whitening, int8 codes and binary codes."""
