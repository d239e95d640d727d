"""Which weights are trained, and how fast."""
