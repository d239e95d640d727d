"""Public benchmarks whose images have a class label, from their official files."""
