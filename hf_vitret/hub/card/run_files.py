"""Names of the files that a training run writes beside its checkpoint."""

RESULTS_NAME, PICTURE_NAME, CURVES_NAME = "results.json", "retrieval.png", "curves.png"
