"""Indexes of embeddings: choose, build, measure, save and search them, and export them to vector databases."""
