"""Training batches: the samplers that draw images, and the reading and augmentation of what they draw."""
