"""What a run leaves beside its checkpoint, by name."""

RESULTS_NAME, PICTURE_NAME, CURVES_NAME = "results.json", "retrieval.png", "curves.png"
