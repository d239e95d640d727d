"""What the commands hand on to the loader of a data set."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace, _ActionsContainer

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
    "min_drawings": (int, "icons: fewest drawings of a concept; default: 2, and 3 in recipes/train_icons.py"),
    "size": (int, "icons: side in pixels of the drawings; default: 112"),
}


def add_loader_options(parser: _ActionsContainer) -> None:
    """Add the options of the loaders to a parser, or to a group of its options."""
    for name, (kind, text) in LOADER_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=text)


def given_loader_options(options: Namespace, dataset: str) -> dict[str, Any]:
    """Return the options that were given, for the loader of a data set.

    Raises:
        ValueError: It takes no such option. A data set that is not known is left to `load_retrieval_dataset`.
    """
    from ...data.loading import DATASETS

    given = {name: getattr(options, name) for name in LOADER_OPTIONS if getattr(options, name) is not None}
    known = inspect.signature(DATASETS[dataset]).parameters if dataset in DATASETS else given
    unknown = [f"--{name}" for name in given if name not in known]
    if unknown:
        raise ValueError(f"{dataset} takes no {', '.join(unknown)}; leave it out")
    return given
