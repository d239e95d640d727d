"""What the commands hand on to the loader of a data set."""

from __future__ import annotations

# Options of the loaders; those that are given are handed on.
LOADER_OPTIONS: dict[str, tuple[type, str]] = {
    "image_column": (str, "catalogue: column of the images"),
    "label_column": (str, "catalogue: column of the classes"),
    "train_split": (str, "catalogue: split to train on"),
    "test_split": (str, "catalogue: split to test on"),
    "query_split": (str, "catalogue: split of the queries, with --gallery_split"),
    "gallery_split": (str, "catalogue: split that is searched"),
    "test_fraction": (float, "catalogue: share of the classes to set aside where there is no test split"),
    "seed": (int, "seed of that choice"),
}
