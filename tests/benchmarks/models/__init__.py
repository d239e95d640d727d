"""Benchmarks of importing, loading, exporting and publishing models."""
