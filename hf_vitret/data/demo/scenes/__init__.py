"""A small data set of places in the official formats, made of photographs that installed packages ship."""
