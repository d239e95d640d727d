"""Stanford Online Products (Oh Song et al. 2016, arXiv 1511.06452) from its official folder or zip."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .archives import extract_zip
from .schema import name_some

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from datasets import Dataset, DatasetDict

FOLDER = "Stanford_Online_Products"
HEADER = "image_id class_id super_class_id path"
LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
# Images and classes of the official split, as counted in the official lists and quoted by every paper since.
OFFICIAL_COUNTS = {"train": (59_551, 11_318), "test": (60_502, 11_316)}


def load_sop(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load Stanford Online Products: 120,053 photographs of 22,634 products, split by product.

    Args:
        data_dir: The folder `Stanford_Online_Products`, its parent, or `Stanford_Online_Products.zip`. An
            archive is extracted once, beside itself (about 3 GiB).
        check_counts: Check the numbers of images and classes against the official ones.

    Returns:
        A `DatasetDict` with `train` (59,551 images of 11,318 classes) and `test` (60,502 of 11,316). `label`
        is the official class_id (int64, from 1); `image_id` is the official path, as
        "bicycle_final/111085122871_0.JPG".

    Raises:
        FileNotFoundError: The data is not there (the message says where to get it), or some of its images are
            not.
        ValueError: A line of a list is malformed, the counts are not the official ones, or a class is in both
            splits.
    """
    from datasets import DatasetDict

    folder = _find_folder(data_dir)
    rows = {split: _read_list(folder / name) for split, name in LISTS.items()}
    if check_counts:
        for split, (num_images, num_classes) in OFFICIAL_COUNTS.items():
            found = (len(rows[split]), len({label for label, _ in rows[split]}))
            if found != (num_images, num_classes):
                raise ValueError(
                    f"{folder / LISTS[split]}: expected {num_images:,} images of {num_classes:,} classes, "
                    f"found {found[0]:,} of {found[1]:,}. Extract the official archive again, or pass "
                    "check_counts=False to use a part of it (results are then not comparable)"
                )
    shared = {label for label, _ in rows["train"]} & {label for label, _ in rows["test"]}
    if shared:
        raise ValueError(
            f"{folder}: the protocol shares no class between train and test, but class_id "
            f"{name_some(sorted(shared))} are in both; use the official lists"
        )
    _check_files(folder, [path for split in rows.values() for _, path in split])
    return DatasetDict({split: _make_split(folder, split_rows) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None) -> Path:
    """Return the folder that holds the lists, extracting the archive if that is what there is."""
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given / FOLDER):
            if (folder / LISTS["train"]).is_file():
                return folder
        for archive in (given, given / f"{FOLDER}.zip"):
            if archive.is_file():
                return extract_zip(archive, archive.parent / FOLDER, FOLDER)
    raise FileNotFoundError(
        f"Stanford Online Products is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get "
        f"{FOLDER}.zip (about 3 GB) from ftp://cs.stanford.edu/cs/cvgl/{FOLDER}.zip or from Google Drive, id "
        "1TclrpQOF_ullUP99wk_gjGN8pKvtErG8,\n"
        f"and pass data_dir=<that .zip, or the folder it extracts to>: expected {FOLDER}/Ebay_train.txt, "
        "Ebay_test.txt and twelve folders, bicycle_final to toaster_final.\n"
        "To train without any download: accelerate launch recipes/train_icons.py"
    )


def _read_list(path: Path) -> list[tuple[int, str]]:
    """Read `Ebay_train.txt` or `Ebay_test.txt`: the class_id and the path of each image.

    Raises:
        FileNotFoundError: The list is missing.
        ValueError: The header or a line is not as expected; the message names the file and the line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected {' and '.join(LISTS.values())} in one folder; extract it again"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].split() != HEADER.split():
        raise ValueError(
            f"{path}, line 1: expected the header {HEADER!r}, got {lines[0] if lines else 'an empty file'!r}"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.split()
        is_well_formed = len(fields) == 4 and all(field.isascii() and field.isdigit() for field in fields[:3])
        relative = PurePosixPath(fields[-1])
        if not is_well_formed or relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{path}, line {number}: expected '{HEADER}' (three numbers and a path), got {line!r}")
        rows.append((int(fields[1]), fields[3]))
    return rows


def _check_files(folder: Path, paths: Sequence[str]) -> None:
    """Check that every image is there, listing each folder once rather than asking for 120,053 files."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for parent in {str(PurePosixPath(path).parent) for path in paths}:
        if (folder / parent).is_dir():
            names[parent] = {path.name for path in (folder / parent).iterdir()}
    absent = [path for path in paths if PurePosixPath(path).name not in names[str(PurePosixPath(path).parent)]]
    if absent:
        raise FileNotFoundError(
            f"{folder}: {len(absent):,} of {len(paths):,} images are missing: {name_some(absent)}. Was the "
            "extraction cut off? Remove the folder and pass the .zip as data_dir"
        )


def _make_split(folder: Path, rows: Sequence[tuple[int, str]]) -> Dataset:
    """Make one split, without opening an image."""
    from datasets import Dataset, Features, Image, Value

    return Dataset.from_dict(
        {
            "image": [str(folder / path) for _, path in rows],
            "label": [label for label, _ in rows],
            "image_id": [path for _, path in rows],
        },
        features=Features(image=Image(), label=Value("int64"), image_id=Value("string")),
    )
