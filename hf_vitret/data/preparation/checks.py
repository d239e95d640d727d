"""What `prepare_dataset` refuses: data that will not do, and a folder that was made of other data or otherwise."""

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

# As `datasets` demands of split names: no hyphen, which ends them in the names of the files.
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")


def check_splits(dataset: Mapping[str, Dataset | IterableDataset]) -> None:
    """Check names and features before anything is written."""
    if not dataset:
        raise ValueError("expected at least one split, got none")
    wrong = [name for name in dataset if not SPLIT_NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"split names are letters, digits, _ and . between them; got {', '.join(map(repr, wrong))}")
    features = {name: RowSource(split, name).features for name, split in dataset.items()}
    (first, expected), *rest = features.items()
    for name, found in rest:
        if found != expected:
            raise ValueError(
                f"all splits need the same features, to be read as one data set: {first!r} has {expected}, {name!r} "
                f"{found}"
            )


def check_same(folder: Path, dataset: Mapping[str, Dataset | IterableDataset], settings: Mapping[str, Any]) -> None:
    """Check that a whole folder is what this call would write."""
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
    """Check that what a folder's notes say is what this call asks for.

    Leaving unreadable images out goes on with what refusing them began: up to there, both write the same.
    """
    if written["format"] != FORMAT:
        raise ValueError(f"{folder} was written by another version of prepare_dataset; remove it and prepare again")
    known = dict(written["settings"])
    if (known.get("on_bad_image"), settings["on_bad_image"]) == ("error", "skip"):
        known["on_bad_image"] = "skip"
    other = [name for name in settings if known.get(name) != settings[name]]
    if other:
        named = "; ".join(f"{name} {known.get(name)!r}, now {settings[name]!r}" for name in other)
        raise ValueError(
            f"{folder} was prepared with other settings: {named}. Repeat the call with those, name another output_dir, "
            "or remove it"
        )


def source_ids(folder: Path, split: str, skipped: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the source's rows that were read, of the images left out too."""
    image_ids = read_column(find_shards(folder / DATA_FOLDER, split), "image_id")
    for left_out in skipped:  # in the order of their rows, so that each one finds its place
        image_ids.insert(left_out["row"], left_out["image_id"])
    return image_ids
