"""Retrieval metrics of embeddings with labels, of embeddings with graded relevance, and of ranked lists."""
