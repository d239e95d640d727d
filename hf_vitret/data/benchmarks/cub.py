"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011), split by class, from its official folder or archive."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..untrusted.archives.extraction import extract_archive
from .official_files import Rows, check_files, check_official_counts, is_relative, make_split, numbered_fields

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

FOLDER = "CUB_200_2011"
ARCHIVE = f"{FOLDER}.tgz"
NUM_CLASSES, NUM_TRAIN_CLASSES = 200, 100
OFFICIAL_COUNTS = {"train": (5_864, 100), "test": (5_924, 100)}


def load_cub(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load CUB-200-2011: 11,788 photographs of 200 bird species, of which the first 100 are the training split.

    This is the split of metric learning (Song et al., arXiv 1511.06452, section 5). The loader does not read the
    official `train_test_split.txt`, which divides the images of each species for classification, nor the bounding
    boxes.

    Args:
        data_dir: The folder `CUB_200_2011`, its parent, or `CUB_200_2011.tgz`. The archive is extracted once, into the
            folder that it lies in.
        check_counts: Whether to check the numbers of images and classes against the official ones.

    Returns:
        A `DatasetDict` with `train` (5,864 images of species 1 to 100) and `test` (5,924 images of species 101 to 200).
        `label` is a `ClassLabel` with all 200 names, such as "001.Black_footed_Albatross"; `image_id` is the official
        path below `images/`.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A line of a list is malformed, the lists contradict each other, or the counts are not the official
            ones.
    """
    from datasets import ClassLabel, DatasetDict

    folder = _find_folder(data_dir)
    names = _read_list(folder / "classes.txt")
    class_ids = _read_list(folder / "image_class_labels.txt")
    rows: dict[str, Rows] = {"train": [], "test": []}
    if list(names) != list(range(1, NUM_CLASSES + 1)):
        raise ValueError(f"{folder / 'classes.txt'}: expected the classes 1 to {NUM_CLASSES}, got {len(names)}")
    for image_id, path in _read_list(folder / "images.txt").items():
        class_id = class_ids.get(image_id, "")
        if not class_id.isdecimal() or int(class_id) not in names or not is_relative(path):
            raise ValueError(
                f"{folder}: image {image_id} needs a path in images.txt and a class from 1 to {NUM_CLASSES} in "
                f"image_class_labels.txt; got {path!r} and {class_id or 'nothing'!r}"
            )
        if not PurePosixPath(path).name.startswith("._"):  # metadata that macOS writes beside a file
            rows["train" if int(class_id) <= NUM_TRAIN_CLASSES else "test"].append((int(class_id) - 1, path))
    if check_counts:
        check_official_counts(folder, rows, OFFICIAL_COUNTS)
    check_files(folder / "images", rows)
    label = ClassLabel(names=list(names.values()))
    return DatasetDict({split: make_split(folder / "images", split_rows, label) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None) -> Path:
    """Return the folder that holds the lists; extract the archive if there is no folder."""
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given / FOLDER):
            if (folder / "images.txt").is_file():
                return folder
        for archive in (given, given / ARCHIVE):
            if archive.is_file():
                return extract_archive(archive, archive.parent / FOLDER, FOLDER)
    raise FileNotFoundError(
        f"CUB-200-2011 is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get {ARCHIVE} (1.2 GB) from "
        "https://data.caltech.edu/records/65de6-vp158,\n"
        f"and pass data_dir=<that file, or the folder it extracts to>: expected {FOLDER}/images.txt, classes.txt, "
        "image_class_labels.txt and images/.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_list(path: Path) -> dict[int, str]:
    """Read a list whose lines are a number and a word, as number to word."""
    found: dict[int, str] = {}
    for number, fields in numbered_fields(path):
        if len(fields) != 2 or not fields[0].isdecimal() or int(fields[0]) in found:
            raise ValueError(
                f"{path}, line {number}: expected a number that no other line has, and a word; got {' '.join(fields)!r}"
            )
        found[int(fields[0])] = fields[1]
    return found
