"""Training on tuples: an anchor, its positive, and negatives mined anew in each epoch."""
