"""Write a data set once as Parquet files with small re-encoded images."""
