"""Measures and figures of how embeddings are distributed over their space."""
