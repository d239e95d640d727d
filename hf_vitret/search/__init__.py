"""Exact search over embeddings."""

from hf_vitret.search.neighbors import nearest_neighbors

__all__ = ["nearest_neighbors"]
