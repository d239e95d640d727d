"""The metric recall@k; `evaluate.load` copies the script beside this file."""
