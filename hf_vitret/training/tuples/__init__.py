"""Training on tuples of an anchor, a positive and negatives that are mined at the start of each epoch."""
