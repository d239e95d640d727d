"""Backends of an index, which store and search its vectors with faiss or with torch."""
