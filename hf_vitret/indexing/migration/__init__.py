"""An old index searched with a new model."""
