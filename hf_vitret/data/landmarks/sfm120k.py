"""SfM-120k: photographs of landmarks, grouped by the 3-D models they were reconstructed in, and pairs that match.

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
# 3-D models of each split, as arXiv 1711.02512 gives them.
OFFICIAL_MODELS = {"train": 551, "val": 162}


def load_sfm120k(
    data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True, check_files: bool = True
) -> DatasetDict:
    """Load the images of SfM-120k, which are trained and validated on as pairs (`load_sfm120k_pairs`).

    Args:
        data_dir: The folder with `retrieval-SfM-120k.pkl` (or the `.json` it was converted to) and `ims/`, or the
            archive `ims.tar.gz` in its place, which is extracted once, beside itself; or the root folder of cirtorch's
            data. The pickle is read by `load_pickle`, which runs nothing.
        check_counts: Check the numbers of 3-D models against the official ones, 551 and 162.
        check_files: Check that every image is there; nearly each is in a folder of its own.

    Returns:
        A `DatasetDict` with `train` and `val`, in the official order, to which the pairs refer. `label` is the number
        of the 3-D model (int64), `image_id` the official cid.

    Raises:
        FileNotFoundError: The data is not there (the message says where to get it), or some of its images are not.
        ValueError: The lists are damaged, hostile or contradict themselves (`read_lists`), or the numbers of models
            are not the official ones.
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
    """Load the pairs of SfM-120k: an image, and one that shows the same from elsewhere.

    Args:
        data_dir: As `load_sfm120k`; no image is needed.

    Returns:
        A `DatasetDict` with `train` and `val`, each with the int64 columns `anchor` and `positive`: rows of the same
        split of `load_sfm120k`. A pair may be there twice, as in the official lists.

    Raises:
        FileNotFoundError: The lists are not there.
        ValueError: As `load_sfm120k`.
    """
    from datasets import DatasetDict

    return DatasetDict({split: _pairs(part) for split, part in read_lists(find_lists(data_dir)).items()})


def load_sfm120k_whitening(data_dir: str | PathLike[str] | None = None, *, check_files: bool = True) -> DatasetDict:
    """Load what learned whitening is fitted on: images and matching pairs, of `retrieval-SfM-120k-whiten.pkl`.

    Args:
        data_dir: As `load_sfm120k`.
        check_files: As `load_sfm120k`.

    Returns:
        A `DatasetDict` with `images` (`image`, `image_id`) and `pairs` (`anchor`, `positive`: rows of `images`).

    Raises:
        FileNotFoundError: As `load_sfm120k`.
        ValueError: As `load_sfm120k`.
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
    """Return the folder of the images, extracting their archive if that is what there is."""
    folders = [lists.parent, lists.parent.parent]  # the second where the lists are in a folder `dbs`
    for folder in folders:
        if (folder / IMAGES).is_dir():
            return folder / IMAGES
    for folder in folders:
        if (folder / ARCHIVE).is_file():
            return extract_by_name([folder / ARCHIVE], folder / IMAGES, image_path)
    raise FileNotFoundError(f"{lists} is there and its images are not: expected {IMAGES}/ or {ARCHIVE} beside it")
