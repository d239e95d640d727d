"""Stanford Online Products (Oh Song et al. 2016, arXiv 1511.06452) from its official folder or zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..untrusted.archives.extraction import extract_archive
from .official_files import (
    Rows,
    check_disjoint,
    check_files,
    check_official_counts,
    is_relative,
    make_split,
    numbered_fields,
)

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

FOLDER = "Stanford_Online_Products"
HEADER = "image_id class_id super_class_id path"
LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
# Images and classes of each split, counted in the official lists.
OFFICIAL_COUNTS = {"train": (59_551, 11_318), "test": (60_502, 11_316)}


def load_sop(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load Stanford Online Products: 120,053 photographs of 22,634 products, split by product.

    Args:
        data_dir: The folder `Stanford_Online_Products`, its parent, or `Stanford_Online_Products.zip`. The archive is
            extracted once, into the folder that it lies in, and takes about 3 GiB more.
        check_counts: Whether to check the numbers of images and classes against the official ones.

    Returns:
        A `DatasetDict` with `train` (59,551 images of 11,318 classes) and `test` (60,502 images of 11,316 classes).
        `label` is the official class_id (int64, from 1); `image_id` is the official path, such as
        "bicycle_final/111085122871_0.JPG".

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A line of a list is malformed, the counts are not the official ones, or a class is in both splits.
    """
    from datasets import DatasetDict

    folder = _find_folder(data_dir)
    rows = {split: _read_list(folder / name) for split, name in LISTS.items()}
    if check_counts:
        check_official_counts(folder, rows, OFFICIAL_COUNTS)
    check_disjoint(folder, rows, "test")
    check_files(folder, rows)
    return DatasetDict({split: make_split(folder, split_rows) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None) -> Path:
    """Return the folder that holds the lists; extract the archive if there is no folder."""
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given / FOLDER):
            if (folder / LISTS["train"]).is_file():
                return folder
        for archive in (given, given / f"{FOLDER}.zip"):
            if archive.is_file():
                return extract_archive(archive, archive.parent / FOLDER, FOLDER)
    raise FileNotFoundError(
        f"Stanford Online Products is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get "
        f"{FOLDER}.zip (about 3 GB) from ftp://cs.stanford.edu/cs/cvgl/{FOLDER}.zip or from Google Drive, id "
        "1TclrpQOF_ullUP99wk_gjGN8pKvtErG8,\n"
        f"and pass data_dir=<that .zip, or the folder it extracts to>: expected {FOLDER}/Ebay_train.txt, "
        "Ebay_test.txt and twelve folders, bicycle_final to toaster_final.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_list(path: Path) -> Rows:
    """Read `Ebay_train.txt` or `Ebay_test.txt`: the class_id and the path of each image.

    Raises:
        FileNotFoundError: The list is missing.
        ValueError: The header or a line is not as expected; the message names the file and the line.
    """
    lines = numbered_fields(path)
    _, header = next(lines, (1, []))
    if header != HEADER.split():
        raise ValueError(f"{path}, line 1: expected the header {HEADER!r}, got {' '.join(header) or 'an empty file'!r}")
    rows = []
    for number, fields in lines:
        is_well_formed = len(fields) == 4 and all(field.isascii() and field.isdigit() for field in fields[:3])
        if not is_well_formed or not is_relative(fields[-1]):
            raise ValueError(
                f"{path}, line {number}: expected '{HEADER}' (three numbers and a path), got {' '.join(fields)!r}"
            )
        rows.append((int(fields[1]), fields[3]))
    return rows
