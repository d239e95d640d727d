"""Several processes as one: rows gathered, evaluation shared."""
