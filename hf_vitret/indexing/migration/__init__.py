"""Move an index to a new model: search it with the new model through a map, and measure the recall."""
