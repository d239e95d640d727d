"""Products-10K (Bai et al. 2020, arXiv 2008.10545): photographs of products of a shop, from its official lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..catalogue.text_tables import read_text_table
from ..schema import name_some
from ..untrusted.archives.extraction import extract_archive
from .official_files import Rows, check_files, is_relative, make_split, split_rows_by_class

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

LISTS = {"train": "train.csv", "test": "test_kaggletest.csv"}
NUM_CLASSES = 9_691  # in train.csv
MAX_BYTES = 100 * 2**30  # limit of the extracted size of one archive, whose true size is not published


def load_products10k(
    data_dir: str | PathLike[str] | None = None,
    *,
    test_fraction: float | None = None,
    seed: int = 0,
    check_counts: bool = True,
) -> DatasetDict:
    """Load Products-10K: about 142,000 training photographs of 9,691 products of JD.com, and photographs to test on.

    The official task is classification: train and test show the same products. Here each test image searches the other
    test images, so the scores are for products that were trained on. With `test_fraction` they are for new products;
    that split is a rule of this package, of no paper.

    Certain are the names of the files, the columns `name` and `class`, the folders, and the 9,691 classes of
    `train.csv`, which are checked. The paper names 10,000 products and about 150,000 images, and published counts of
    the training images differ by one, so the numbers of images are not checked. Copies of `test_kaggletest.csv` differ
    in their other columns (`group`, `Usage`), which are not read.

    Args:
        data_dir: The folder with `train.csv`, `test_kaggletest.csv` and the images: `train/` and `test/`, or
            `train.zip` and `test.zip`, which are extracted once, into the same folder.
        test_fraction: `None`: the official split. Otherwise the share of the classes, in [0, 1), whose images of both
            lists are the test split; all others are the training split. 0 trains on all images.
        seed: Seed of the choice of these classes.
        check_counts: Whether to check the number of training classes, and that each test class is one of them.

    Returns:
        A `DatasetDict` with `train` and `test` (with `test_fraction=0` with `train` alone). `label` is the official
        class (int64); `image_id` is the path, such as "train/0.jpg".

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A list is no CSV file or lacks a column, a row is malformed, the classes are not the official ones,
            or `test_fraction` is outside [0, 1).
    """
    from datasets import DatasetDict

    folder = _find_folder(data_dir)
    rows = {split: _read_list(folder / name, split) for split, name in LISTS.items()}
    if check_counts:
        _check_classes(folder, rows)
    for split in LISTS:
        if not (folder / split).is_dir():
            archive = folder / f"{split}.zip"
            if not archive.is_file():
                raise FileNotFoundError(f"{folder} has the lists and no images: expected {split}/ or {split}.zip there")
            extract_archive(archive, folder / split, split, max_bytes=MAX_BYTES)
    check_files(folder, rows)
    if test_fraction is not None:
        rows = split_rows_by_class(rows, test_fraction, seed)
    return DatasetDict({split: make_split(folder, split_rows) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None) -> Path:
    """Return the folder that holds the lists."""
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if all((folder / name).is_file() for name in LISTS.values()):
            return folder
    raise FileNotFoundError(
        f"Products-10K is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get it from "
        "https://products-10k.github.io or https://www.kaggle.com/c/products-10k,\n"
        f"and pass data_dir=<the folder with {' and '.join(LISTS.values())}>: expected train/ and test/, or train.zip "
        "and test.zip, there too.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_list(path: Path, folder: str) -> Rows:
    """Read a list with the name of the image in `folder` and the class in each row."""
    table = read_text_table(path)
    missing = [name for name in ("name", "class") if name not in table.column_names]
    if missing:
        raise ValueError(f"{path}: expected the columns name and class, got {', '.join(table.column_names)}")
    rows = []
    for row, (name, label) in enumerate(zip(table["name"].to_pylist(), table["class"].to_pylist(), strict=True)):
        if name is None or not is_relative(name) or label is None or not (label.isascii() and label.isdecimal()):
            raise ValueError(
                f"{path}, row {row}: expected the name of an image below {folder}/ and a number in class, got {name!r} "
                f"and {label!r} (the first row after the header is row 0)"
            )
        rows.append((int(label), f"{folder}/{name}"))
    return rows


def _check_classes(folder: Path, rows: dict[str, Rows]) -> None:
    """Check the number of training classes, and that the test images are of these classes."""
    trained, tested = ({label for label, _ in rows[split]} for split in LISTS)
    end = "get the official lists again, or pass check_counts=False to use a part of them"
    if len(trained) != NUM_CLASSES:
        raise ValueError(f"{folder / LISTS['train']}: expected {NUM_CLASSES:,} classes, found {len(trained):,}; {end}")
    if tested - trained:
        raise ValueError(
            f"{folder / LISTS['test']}: expected classes of {LISTS['train']}, found others: "
            f"{name_some(sorted(tested - trained))}; {end}"
        )
