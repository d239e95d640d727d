"""Load a model from a folder or the Hub, and embed images with it."""
