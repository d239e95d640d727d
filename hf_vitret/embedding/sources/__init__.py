"""Sources of images to embed, divided into shards: files, tables, tar archives, and data sets of the Hub."""
