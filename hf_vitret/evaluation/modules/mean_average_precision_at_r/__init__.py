"""The metric MAP@R; `evaluate.load` copies the script beside this file."""
