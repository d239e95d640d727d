"""A training run from data to a finished checkpoint with its card: settings, training, results and report."""
