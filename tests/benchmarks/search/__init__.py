"""Benchmarks of embedding, indexing, searching and serving."""
