"""Training: batches, augmentation, processes, and the trainer itself."""
