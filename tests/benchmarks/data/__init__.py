"""Benchmarks of images, their checks and their loading."""
