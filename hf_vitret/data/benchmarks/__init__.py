"""The category-level benchmarks of the field."""
