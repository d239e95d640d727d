"""SfM-120k: photographs of landmarks, grouped by the 3-D models reconstructed from them, and pairs that match.

Reference:
    Radenovic, Tolias, Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", arXiv 1711.02512.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmarks.official_files import Rows, make_split
from ..benchmarks.official_files import check_files as check_all_files
from ..benchmarks.official_tars import extract_by_name
from .sfm120k_lists import WHITENING, SfmLists, find_lists, image_path, read_lists

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from datasets import Dataset, DatasetDict

ARCHIVE = "ims.tar.gz"
IMAGES = "ims"
# Number of 3-D models in each split, from arXiv 1711.02512.
OFFICIAL_MODELS = {"train": 551, "val": 162}


def load_sfm120k(
    data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True, check_files: bool = True
) -> DatasetDict:
    """Load the images of SfM-120k. Training and validation use pairs of them (`load_sfm120k_pairs`).

    Args:
        data_dir: The folder with `retrieval-SfM-120k.pkl` (or the `.json` converted from it) and `ims/` or
            `ims.tar.gz`; or the root folder of the data of cirtorch. The archive is extracted once, into the folder
            that it lies in. The pickle is read by `load_pickle`, which runs no code of the file.
        check_counts: Whether to check the numbers of 3-D models against the official ones, 551 and 162.
        check_files: Whether to check that every image is there. This takes a while, because almost every image is in a
            folder of its own.

    Returns:
        A `DatasetDict` with `train` and `val` and the columns `image`, `label` and `image_id`. The rows are in the
        official order, to which the pairs refer. `label` is the number of the 3-D model (int64), `image_id` the
        official cid.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: The lists are damaged, hostile or contradictory (`read_lists`), or the numbers of models are not the
            official ones.
    """
    from datasets import DatasetDict

    path = find_lists(data_dir)
    lists = read_lists(path)
    if check_counts:
        _check_models(path, lists)
    folder = _find_images(path)
    rows = {split: _rows(part) for split, part in lists.items()}
    if check_files:
        check_all_files(folder, rows)
    return DatasetDict(
        {split: make_split(folder, rows[split], image_ids=part.image_ids) for split, part in lists.items()}
    )


def load_sfm120k_pairs(data_dir: str | PathLike[str] | None = None) -> DatasetDict:
    """Load the pairs of SfM-120k: two images that show the same landmark from different camera positions.

    Args:
        data_dir: The folder with `retrieval-SfM-120k.pkl` (or the `.json` converted from it), or the root folder of the
            data of cirtorch. No image is needed.

    Returns:
        A `DatasetDict` with `train` and `val`, each with the int64 columns `anchor` and `positive`: rows of the same
        split of `load_sfm120k`. Some pairs occur twice, as in the official lists.

    Raises:
        FileNotFoundError: The lists are not at `data_dir`; the message says where to get them.
        ValueError: The lists are damaged, hostile or contradictory (`read_lists`).
    """
    from datasets import DatasetDict

    return DatasetDict({split: _pairs(part) for split, part in read_lists(find_lists(data_dir)).items()})


def load_sfm120k_whitening(data_dir: str | PathLike[str] | None = None, *, check_files: bool = True) -> DatasetDict:
    """Load the images and matching pairs that learned whitening is fitted on.

    Args:
        data_dir: The folder with `retrieval-SfM-120k-whiten.pkl` (or the `.json` converted from it) and `ims/` or
            `ims.tar.gz`, or the root folder of the data of cirtorch.
        check_files: Whether to check that every image is there.

    Returns:
        A `DatasetDict` with `images` (columns `image` and `image_id`) and `pairs` (int64 columns `anchor` and
        `positive`, rows of `images`).

    Raises:
        FileNotFoundError: The lists are not at `data_dir` (the message says where to get them), or images are missing.
        ValueError: The lists are damaged, hostile or contradictory (`read_lists`).
    """
    from datasets import DatasetDict

    path = find_lists(data_dir, WHITENING)
    lists = read_lists(path)["images"]
    folder, rows = _find_images(path), _rows(lists)
    if check_files:
        check_all_files(folder, {"images": rows})
    images = make_split(folder, rows, image_ids=lists.image_ids).remove_columns("label")
    return DatasetDict({"images": images, "pairs": _pairs(lists)})


def _check_models(path: Path, lists: dict[str, SfmLists]) -> None:
    for split, expected in OFFICIAL_MODELS.items():
        found = len(set(lists[split].models or ()))
        if found != expected:
            raise ValueError(
                f"{path}: expected {expected} 3-D models in {split}, found {found}. Get the official file again, or "
                "pass check_counts=False to use another set in its format (results are then not comparable)"
            )


def _rows(lists: SfmLists) -> Rows:
    models = lists.models or [0] * len(lists.image_ids)
    return [(model, image_path(image_id)) for model, image_id in zip(models, lists.image_ids)]


def _pairs(lists: SfmLists) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({"anchor": lists.anchors, "positive": lists.positives})


def _find_images(lists: Path) -> Path:
    """Return the folder of the images; extract their archive if there is no folder."""
    folders = [lists.parent, lists.parent.parent]  # the second is for lists in a folder `dbs`
    for folder in folders:
        if (folder / IMAGES).is_dir():
            return folder / IMAGES
    for folder in folders:
        if (folder / ARCHIVE).is_file():
            return extract_by_name([folder / ARCHIVE], folder / IMAGES, image_path)
    raise FileNotFoundError(f"{lists} is there and its images are not: expected {IMAGES}/ or {ARCHIVE} beside it")
