"""A catalogue of the user's own images, from folders, a table or the Hub, brought into the one schema."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalogue_columns import to_schema
from .catalogue_sources import (
    HUB_SUFFIXES,
    TABLE_SUFFIXES,
    read_folder,
    read_hub,
    read_saved,
    read_table,
    require_columns,
)
from .schema import SPLITS, column_values, describe_split
from .splits import split_by_class

if TYPE_CHECKING:
    from os import PathLike

    from datasets import Dataset, DatasetDict

logger = logging.getLogger(__name__)


def load_catalogue(
    data_dir: str | PathLike[str] | None = None,
    *,
    image_column: str = "image",
    label_column: str = "label",
    train_split: str = "train",
    test_split: str | None = None,
    query_split: str | None = None,
    gallery_split: str | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
    **options: Any,
) -> DatasetDict:
    """Load the user's own images, from whatever form they are kept in.

    Args:
        data_dir: One of: a folder with one folder of images per class (`read_folder`), optionally under
            `train/` and `test/` (or `train/`, `query/` and `gallery/`); a `.csv`, `.tsv` or `.parquet` file
            (`read_table`); a folder written by `save_to_disk`; the name of a data set on the Hub.
        image_column: Column of the images, in a table or data set.
        label_column: Column of the classes: text, whole numbers (any, also with gaps) or `ClassLabel`.
        train_split: Name of the split to train on, where the source has several.
        test_split: Name of the split to test on; default "test" if there is one. None and no such split: half
            of the *classes* are set aside for testing.
        query_split: Instead of `test_split`, with `gallery_split`: what is searched for; default "query".
        gallery_split: What is searched; default "gallery".
        test_fraction: Share of the classes to set aside where there is no test split (`choose_test_classes`).
        seed: Seed of that choice.
        **options: Passed to `datasets.load_dataset` where the source is the Hub, as `revision="..."`.

    Returns:
        A `DatasetDict` with `train` and `test` (or `train`, `query`, `gallery`); `label` is a `ClassLabel`
        with the sorted class names, the same in all splits. `image_id` is the source's `image_id` column if
        it has one, else the path of the file, else `<split>/<row>`.

    Raises:
        FileNotFoundError: There is nothing at `data_dir`.
        ValueError: A column is missing; labels are null or fractions; there are fewer than two classes, or
            none of them has two images; splits are named that are not there.
    """
    if data_dir is None:
        raise ValueError(
            "the catalogue needs data_dir: a folder of class folders, a .csv or .parquet, or a Hub data set"
        )
    source = str(data_dir)
    found = _read(source, image_column, label_column, options)
    splits = _choose_splits(found, source, train_split, test_split, query_split, gallery_split)
    for split in splits.values():
        require_columns(split, {"image": image_column, "label": label_column}, source)
    catalogue = to_schema(splits, image_column, label_column, source)
    _check_classes(catalogue["train"], source)
    if set(catalogue) == {"train"}:
        catalogue = split_by_class(catalogue["train"], test_fraction, seed)
        _check_classes(catalogue["train"], f"{source} (the {1 - test_fraction:.0%} of classes to train on)")
    num_single = describe_split(catalogue["train"])["num_single_image_classes"]
    if num_single:
        logger.warning("%d classes of the train split have one image: they serve as negatives only", num_single)
    return catalogue


def _read(source: str, image_column: str, label_column: str, options: dict[str, Any]) -> dict[str, Dataset]:
    """Read the source in the form it has: file, saved data set, folder of images, else `load_dataset`."""
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise ValueError(
                f"{path}: expected a folder, or a table ({', '.join(TABLE_SUFFIXES)}); got {path.suffix!r}"
            )
        return read_table(path, image_column, label_column)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return read_saved(path)
    if path.is_dir():
        found = read_folder(path, image_column, label_column)
        if all(len(split) for split in found.values()):
            return found
        if not any(file for suffix in HUB_SUFFIXES for file in path.rglob(f"*{suffix}")):
            raise FileNotFoundError(
                f"{path}: no images in "
                f"{' or '.join(name for name, split in found.items() if not len(split))}; expected "
                "<class>/<image>, one folder per class, optionally under train/ and test/"
            )
    return read_hub(str(path) if path.exists() else source, **options)


def _choose_splits(
    found: dict[str, Dataset],
    source: str,
    train: str,
    test: str | None,
    query: str | None,
    gallery: str | None,
) -> dict[str, Dataset]:
    """Give the source's splits the schema's names: those the user named, else those that have these names."""
    if (query is None) != (gallery is None) or (test and query):
        raise ValueError(f"name test_split, or query_split and gallery_split; got {test!r}, {query!r}, {gallery!r}")
    if test:
        wanted = {"train": train, "test": test}
    elif query and gallery:
        wanted = {"train": train, "query": query, "gallery": gallery}
    else:
        rest = set(found) - {train}
        names = next((names for names in SPLITS if rest == set(names[1:])), ("train",))
        wanted = {"train": train, **{name: name for name in names[1:]}}
        if len(wanted) <= len(rest):
            raise ValueError(
                f"{source}: has the splits {', '.join(found)}; say which to use with train_split and "
                "test_split, or query_split and gallery_split"
            )
    absent = [split for split in wanted.values() if split not in found]
    if absent:
        raise ValueError(f"{source}: no split {', '.join(map(repr, absent))}; it has {', '.join(found)}")
    return {name: found[split] for name, split in wanted.items()}


def _check_classes(train: Dataset, source: str) -> None:
    """Check that something can be learnt: two classes, so that there are negatives, and one positive pair."""
    sizes = Counter(column_values(train, "label"))
    if len(sizes) < 2:
        raise ValueError(
            f"{source}: {len(sizes)} class in the train split; retrieval is learnt between 2 classes or more"
        )
    if max(sizes.values()) < 2:
        raise ValueError(
            f"{source}: each of the {len(sizes)} classes has one image (a folder with one image per class?), "
            "so there is no pair of one class to learn from; add images, or check which column or folder "
            "names the class"
        )
