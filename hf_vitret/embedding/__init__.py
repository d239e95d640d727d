"""Images of any number to folders of embeddings, and the manifest by which an index knows whose they are."""
