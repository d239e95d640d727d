"""A data set written once as Parquet, its images re-encoded small."""
