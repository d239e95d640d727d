"""What the loaders of public benchmarks share: reading lists of text, checking counts and files, making splits."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..schema import name_some
from ..splits import choose_test_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from datasets import Dataset

Rows = list[tuple[int, str]]
"""The images of a split: label, and path relative to the folder of the data set."""


def numbered_fields(path: Path, *, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a list as fields separated by white space, without empty lines.

    Args:
        path: The list, a text file in UTF-8, with or without a byte order mark.
        first_line: Line to begin at, counted from 1.

    Yields:
        The number of the line, counted from 1, and its fields.

    Raises:
        FileNotFoundError: There is no file at `path`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: is the folder whole? Extract the official archive again")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if number >= first_line and line.strip():
            yield number, line.split()


def first_file(data_dir: str | PathLike[str] | None, folders: Sequence[str], names: Sequence[str]) -> Path | None:
    """Return the first file of some names in some folders; `None` if there is none.

    Args:
        data_dir: The folder that the folders are relative to; `None` has no file.
        folders: The folders to look in, in order; `""` is `data_dir` itself.
        names: The names to look for. All folders are looked at for the first name, then for the next.
    """
    if data_dir is None:
        return None
    root = Path(data_dir).expanduser()
    paths = (root / folder / name for name in names for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def is_relative(path: str) -> bool:
    """Return whether a path of a list is relative, not empty and without `..`."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def check_official_counts(source: Path, rows: Mapping[str, Rows], official: Mapping[str, tuple[int, int]]) -> None:
    """Check the numbers of images and classes of each split against the official ones.

    Args:
        source: The folder or list that the rows come from, for the error.
        rows: Split to its images.
        official: Split to its numbers of images and classes.

    Raises:
        ValueError: The numbers of a split differ.
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
    """Check that no class of `train` is in a test split.

    Args:
        source: The folder or list that the rows come from, for the error.
        rows: Split to its images.
        *test_splits: The names of the splits to test on.

    Raises:
        ValueError: `train` and a test split share a class.
    """
    tested = {label for split in test_splits for label, _ in rows[split]}
    shared = {label for label, _ in rows["train"]} & tested
    if shared:
        raise ValueError(
            f"{source}: the protocol shares no class between train and {' or '.join(test_splits)}, but these are in "
            f"both: {name_some(sorted(shared))}; use the official lists"
        )


def check_files(folder: Path, rows: Mapping[str, Rows]) -> None:
    """Check that every image is there. The function lists each folder once, which is faster than one call per file.

    Args:
        folder: The folder that the paths are relative to.
        rows: Split to its images.

    Raises:
        FileNotFoundError: Some images are missing; the message names them.
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
    """Make one split in the schema of `load_retrieval_dataset`, without opening an image.

    Args:
        folder: The folder that the paths are relative to.
        rows: The images of the split.
        label: Feature of the labels; `None`: int64.
        image_ids: Id of each image; `None`: its path.

    Returns:
        A data set with the columns `image`, `label` and `image_id`, in the order of `rows`.
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


def split_rows_by_class(rows: Mapping[str, Rows], test_fraction: float, seed: int) -> dict[str, Rows]:
    """Pool the images of all splits, and split them by class with the rule of `choose_test_classes`.

    Args:
        rows: Split to its images.
        test_fraction: Share of the classes that become the test split, in [0, 1).
        seed: Seed of the choice.

    Returns:
        The images of `train` and `test`, each in the order of `rows`; with `test_fraction=0` of `train` alone.

    Raises:
        ValueError: `test_fraction` is outside [0, 1), or leaves too few classes to train or to test on.
    """
    pooled = [row for split in rows.values() for row in split]
    labels = {str(label): label for label, _ in pooled}
    chosen = {labels[name] for name in choose_test_classes(list(labels), test_fraction, seed)}
    if not chosen:
        return {"train": pooled}
    return {
        "train": [row for row in pooled if row[0] not in chosen],
        "test": [row for row in pooled if row[0] in chosen],
    }
