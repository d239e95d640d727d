"""From embeddings to answers: an index that is chosen, built, measured, saved and searched."""
