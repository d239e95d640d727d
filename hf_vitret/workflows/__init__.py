"""Whole jobs, from input to output: fine-tune, evaluate, examine a data set, serve an index."""
