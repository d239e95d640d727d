"""Benchmarks of losses and training."""
