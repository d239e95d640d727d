"""iNaturalist 2018 (Van Horn et al., CVPR 2018) with the retrieval split of Smooth-AP (arXiv 2007.12163)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
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

LISTS = {"train": "Inaturalist_train_set1.txt", "test": "Inaturalist_test_set1.txt"}
LIST_FOLDER = "Inat_dataset_splits"
FOLDER, ARCHIVE = "train_val2018", "train_val2018.tar.gz"
OFFICIAL_COUNTS = {"train": (325_846, 5_690), "test": (136_093, 2_452)}
MAX_BYTES = 200 * 2**30  # limit of the extracted size; the archive is 120 GB


def load_inat2018(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load iNaturalist 2018 as a retrieval benchmark: 461,939 photographs of 8,142 species, split by species.

    Args:
        data_dir: The folder with `Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` (or
            `Inat_dataset_splits/` with them) and the images: `train_val2018/`, or `train_val2018.tar.gz`. The archive
            is extracted once, into the folder that it lies in, and takes about 120 GB more.
        check_counts: Whether to check the numbers of images and classes against the official ones.

    Returns:
        A `DatasetDict` with `train` (325,846 images of 5,690 species) and `test` (136,093 images of 2,452 species).
        `label` is the number that names an image's folder (int64); `image_id` is the path, such as
        "train_val2018/Aves/2761/<hash>.jpg".

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A line of a list is malformed, the counts are not the official ones, or a class is in both splits.
    """
    from datasets import DatasetDict

    lists, root = _find_lists(data_dir)
    rows = {split: _read_list(lists / name) for split, name in LISTS.items()}
    if check_counts:
        check_official_counts(lists, rows, OFFICIAL_COUNTS)
    check_disjoint(lists, rows, "test")
    if not (root / FOLDER).is_dir():
        if not (root / ARCHIVE).is_file():
            raise FileNotFoundError(f"{root} has the lists and no images: expected {FOLDER}/ or {ARCHIVE} there")
        extract_archive(root / ARCHIVE, root / FOLDER, FOLDER, max_bytes=MAX_BYTES)
    check_files(root, rows)
    return DatasetDict({split: make_split(root, split_rows) for split, split_rows in rows.items()})


def _find_lists(data_dir: str | PathLike[str] | None) -> tuple[Path, Path]:
    """Return the folder of the lists, and the folder that has `train_val2018/` or its archive."""
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given / LIST_FOLDER):
            if all((folder / name).is_file() for name in LISTS.values()):
                return folder, folder.parent if folder.name == LIST_FOLDER else folder
    raise FileNotFoundError(
        f"the lists of iNaturalist 2018 are not at data_dir={None if data_dir is None else str(data_dir)!r}. Get "
        f"{LIST_FOLDER} from https://github.com/Andrew-Brown1/Smooth_AP and {ARCHIVE} (120 GB) from "
        "https://github.com/visipedia/inat_comp/tree/master/2018,\n"
        f"and pass data_dir=<the folder that holds both>: expected {' and '.join(LISTS.values())}, and {FOLDER}/.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_list(path: Path) -> Rows:
    """Read a list with one path a line; the class is the number that names the folder of the image."""
    rows = []
    for number, fields in numbered_fields(path):
        parts = PurePosixPath(fields[0]).parts
        begin = parts.index(FOLDER) if FOLDER in parts else len(parts)  # the lists may name folders above it
        inside = parts[begin:]
        if len(fields) != 1 or len(inside) < 3 or not inside[-2].isdecimal() or not is_relative(fields[0]):
            raise ValueError(
                f"{path}, line {number}: expected {FOLDER}/<group>/<class number>/<image>, got {' '.join(fields)!r}"
            )
        rows.append((int(inside[-2]), "/".join(inside)))
    return rows
