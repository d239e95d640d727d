"""How far embeddings are spread out."""
