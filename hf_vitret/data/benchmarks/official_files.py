"""What the official data sets have in common: lists in text files, counts that are known, images in folders."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..schema import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datasets import Dataset

Rows = list[tuple[int, str]]
"""Label and path, relative to the data set's folder, of each image of a split."""


def numbered_fields(path: Path, *, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a list as fields between white space; empty lines are passed over.

    Args:
        path: The list, UTF-8.
        first_line: Line to begin at, counted from 1.

    Yields:
        The line's number and its fields.

    Raises:
        FileNotFoundError: The list is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: is the folder whole? Extract the official archive again")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if number >= first_line and line.strip():
            yield number, line.split()


def is_relative(path: str) -> bool:
    """Say whether a path of a list stays inside the folder of its data set."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def check_official_counts(source: Path, rows: Mapping[str, Rows], official: Mapping[str, tuple[int, int]]) -> None:
    """Check the numbers of images and classes of each split against the official ones.

    Raises:
        ValueError: They differ.
    """
    for split, (num_images, num_classes) in official.items():
        found = (len(rows[split]), len({label for label, _ in rows[split]}))
        if found != (num_images, num_classes):
            raise ValueError(
                f"{source}: expected {num_images:,} images of {num_classes:,} classes in {split}, found "
                f"{found[0]:,} of {found[1]:,}. Extract the official archive again, or pass check_counts=False to use "
                "a part of it (results are then not comparable)"
            )


def check_disjoint(source: Path, rows: Mapping[str, Rows], *test_splits: str) -> None:
    """Check that no class is trained on and tested on.

    Raises:
        ValueError: A class of `train` is in one of the test splits.
    """
    tested = {label for split in test_splits for label, _ in rows[split]}
    shared = {label for label, _ in rows["train"]} & tested
    if shared:
        raise ValueError(
            f"{source}: the protocol shares no class between train and {' or '.join(test_splits)}, but these are in "
            f"both: {name_some(sorted(shared))}; use the official lists"
        )


def check_files(folder: Path, rows: Mapping[str, Rows]) -> None:
    """Check that every image is there, listing each folder once rather than asking for each file.

    Raises:
        FileNotFoundError: Some are not.
    """
    paths = [path for split in rows.values() for _, path in split]
    names: defaultdict[str, set[str]] = defaultdict(set)
    for parent in {str(PurePosixPath(path).parent) for path in paths}:
        if (folder / parent).is_dir():
            names[parent] = {path.name for path in (folder / parent).iterdir()}
    absent = [path for path in paths if PurePosixPath(path).name not in names[str(PurePosixPath(path).parent)]]
    if absent:
        raise FileNotFoundError(
            f"{folder}: {len(absent):,} of {len(paths):,} images are missing: {name_some(absent)}. Was the "
            "extraction cut off? Remove the folder of the images and let the archive be extracted again"
        )


def make_split(folder: Path, rows: Rows, label: Any = None, image_ids: list[str] | None = None) -> Dataset:
    """Make one split, without opening an image.

    Args:
        folder: What the paths are relative to.
        rows: The split's images.
        label: Feature of the labels; int64 if None.
        image_ids: What the images are called; by their paths if None.
    """
    from datasets import Dataset, Features, Image, Value

    return Dataset.from_dict(
        {
            "image": [str(folder / path) for _, path in rows],
            "label": [label for label, _ in rows],
            "image_id": [path for _, path in rows] if image_ids is None else image_ids,
        },
        features=Features(image=Image(), label=label or Value("int64"), image_id=Value("string")),
    )
