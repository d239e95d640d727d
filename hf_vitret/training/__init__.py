"""Training of retrieval models: the trainers, their arguments, batches, steps, checkpoints and several processes."""
