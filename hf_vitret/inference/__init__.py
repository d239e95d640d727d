"""A model, from its name to its vectors."""
