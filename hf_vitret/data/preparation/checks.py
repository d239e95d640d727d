"""Checks of `prepare_dataset`: of the data, and of a folder that another call has begun or finished."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .parquet_shards import DATA_FOLDER, find_shards, read_column
from .prepared_folder import FORMAT, read_manifest
from .row_source import RowSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datasets import Dataset, IterableDataset

# The rule of `datasets` for names of splits. A hyphen ends the name of the split in the name of a file.
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")


def check_splits(dataset: Mapping[str, Dataset | IterableDataset]) -> None:
    """Check the names and features of the splits, before anything is written.

    Args:
        dataset: Name of each split to its rows.

    Raises:
        ValueError: There is no split; a name has other characters than letters, digits, `_` and `.`; the splits have
            different features; or a split breaks a rule of `RowSource`.
    """
    if not dataset:
        raise ValueError("expected at least one split, got none")
    wrong = [name for name in dataset if not SPLIT_NAME.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"expected split names of letters, digits, _ and . between them; got {', '.join(map(repr, wrong))}"
        )
    features = {name: RowSource(split, name).features for name, split in dataset.items()}
    (first, expected), *rest = features.items()
    for name, found in rest:
        if found != expected:
            raise ValueError(
                f"expected the same features in all splits, which are read as one data set; {first!r} has {expected}, "
                f"{name!r} has {found}"
            )


def check_same(folder: Path, dataset: Mapping[str, Dataset | IterableDataset], settings: Mapping[str, Any]) -> None:
    """Check that a finished folder is what this call would write.

    Args:
        folder: The prepared folder.
        dataset: Name of each split to its rows, as given to this call.
        settings: The settings of this call.

    Raises:
        ValueError: The folder has other settings, splits, numbers of images or ids.
    """
    manifest = read_manifest(folder)
    check_settings(folder, manifest, settings)
    if set(manifest["splits"]) != set(dataset):
        raise ValueError(
            f"{folder} was prepared with the splits {', '.join(manifest['splits'])}; got {', '.join(dataset)}. Remove "
            "it, or name another output_dir"
        )
    for name, split in dataset.items():
        facts = manifest["splits"][name]
        rows = RowSource(split, name)
        if rows.num_rows not in (None, facts["num_source_images"]):
            raise ValueError(
                f"{folder}, split {name!r} was prepared from {facts['num_source_images']} images; the source has "
                f"{rows.num_rows}. Remove it, or name another output_dir"
            )
        rows.check_ids(source_ids(folder, name, facts["skipped"]))


def check_settings(folder: Path, written: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check that the settings of a folder are those of this call.

    `on_bad_image` may change from `"error"` to another value: a run with `"error"` stops at its first bad image, and up
    to there it has written what a run with the other value would have written.

    Args:
        folder: The folder, for the error.
        written: The manifest of the folder, or the notes of an unfinished run: `format` and `settings`.
        settings: The settings of this call.

    Raises:
        ValueError: The folder has another format or other settings.
    """
    if written["format"] != FORMAT:
        raise ValueError(f"{folder} was written by another version of prepare_dataset; remove it and prepare again")
    known = dict(written["settings"])
    if known.get("on_bad_image") == "error":
        known["on_bad_image"] = settings["on_bad_image"]
    other = [name for name in settings if known.get(name) != settings[name]]
    if other:
        named = "; ".join(f"{name} {known.get(name)!r}, now {settings[name]!r}" for name in other)
        raise ValueError(
            f"{folder} was prepared with other settings: {named}. Repeat the call with those, name another output_dir, "
            "or remove it"
        )


def source_ids(folder: Path, split: str, skipped: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the source rows that were read, including those of images that were left out.

    Args:
        folder: The folder with the shards in `data/`.
        split: Name of the split.
        skipped: The images that were left out, with `row` and `image_id`, sorted by row.
    """
    image_ids = read_column(find_shards(folder / DATA_FOLDER, split), "image_id")
    for left_out in skipped:  # sorted by row, so that each id is inserted at its final position
        image_ids.insert(left_out["row"], left_out["image_id"])
    return image_ids
