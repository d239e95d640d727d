"""Embed any number of images to a folder of embeddings, whose manifest names the model that made them."""
