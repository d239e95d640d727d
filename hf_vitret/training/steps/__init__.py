"""Parts of a training step: the objective, gradient caching, the momentum encoder, and checks and logs of the loss."""
