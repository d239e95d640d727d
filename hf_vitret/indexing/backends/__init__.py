"""Vectors in memory or on the disk, searched by faiss or torch."""
