"""Where images to embed come from: files, tables, tar archives, data sets of the Hub; each cut into shards."""
