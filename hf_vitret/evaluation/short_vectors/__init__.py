"""Retrieval metrics of shorter and quantised vectors, for every dimension, reduction and precision."""
