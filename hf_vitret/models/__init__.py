"""The files that travel inside every checkpoint: configuration and model, nothing else."""
