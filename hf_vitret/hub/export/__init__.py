"""Further ways to load a checkpoint, and what runs it elsewhere: each written beside it on request."""
