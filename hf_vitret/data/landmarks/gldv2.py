"""Google Landmarks v2: training images with a landmark each, and the queries and the index of its retrieval task.

What is certain about the format: the names of the files, their columns and the folders of the images, which the README
of the data set describes; the numbers of images of `train.csv` and `index.csv`, from the same README; the numbers of
`train_clean.csv` and of landmarks, from the repository of its authors; that `Usage` is also "Ignored", from the
official program.
What is not certain: whether the solution lists every test image (its number of lines is not checked), and whether an id
is always hexadecimal (16 letters or digits are accepted). The number of queries that count, 1,129, is the one that
users of the data set report.

References:
    Weyand, Araujo, Cao, Sim, "Google Landmarks Dataset v2", arXiv 2004.01804, and its README,
    https://github.com/cvdfoundation/google-landmark. Clean training set: Yokoo et al., arXiv 2003.11211.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..benchmarks.official_files import Rows, check_official_counts, make_split, split_rows_by_class
from ..benchmarks.official_files import check_files as check_all_files
from .gldv2_lists import (
    INDEX,
    SOLUTION,
    TRAIN,
    TRAIN_CLEAN,
    Gldv2GroundTruth,
    find_list,
    image_path,
    read_ground_truth,
    read_training_rows,
)

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

# Images and landmarks of each list of training images.
OFFICIAL_COUNTS = {TRAIN: (4_132_914, 203_094), TRAIN_CLEAN: (1_580_470, 81_313)}
OFFICIAL_RETRIEVAL = {"query": 1_129, "gallery": 761_757}
FOLDERS = {"query": "test", "gallery": "index"}
_PREFIX, _SUFFIX = len("0/1/2/"), len(".jpg")  # of `image_path`, around the id


def load_gldv2(
    data_dir: str | PathLike[str] | None = None,
    *,
    clean: bool = True,
    test_fraction: float = 0.01,
    split_seed: int = 0,
    check_counts: bool = True,
    check_files: bool = True,
) -> DatasetDict:
    """Load the training images of Google Landmarks v2, with the landmark of each as its class.

    The data set has no test images with these classes: its index and its test images have landmark ids of their own,
    and are scored by `load_gldv2_retrieval` and `gldv2_metrics`. So a few landmarks are set aside to measure a run.

    Args:
        data_dir: The folder with `train_clean.csv` or `train.csv` (or `metadata/` with it) and `train/`, below which
            image `0123456789abcdef` is `0/1/2/0123456789abcdef.jpg`.
        clean: Whether to read `train_clean.csv`, without the images that do not show their landmark; else `train.csv`.
        test_fraction: Share of the landmarks to set aside as `test`, in [0, 1), by the rule of `choose_test_classes`.
            0 trains on all landmarks.
        split_seed: Seed of the choice of these landmarks.
        check_counts: Whether to check the numbers of images and landmarks against the official ones: 1,580,470 of
            81,313 (clean), or 4,132,914 of 203,094.
        check_files: Whether to check that every image is there. This takes a while.

    Returns:
        A `DatasetDict` with `train` and `test`, which share no landmark, or with `train` alone. `label` is the
        landmark_id (int64), `image_id` the official id; the rows are in the order of the list.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A line of the list is malformed, an image is there twice, the counts are not the official ones, or
            `test_fraction` is outside [0, 1) or leaves too few landmarks.
    """
    from datasets import DatasetDict

    path = find_list(data_dir, TRAIN_CLEAN if clean else TRAIN)
    rows = read_training_rows(path)
    if check_counts:
        check_official_counts(path, {"train": rows}, {"train": OFFICIAL_COUNTS[path.name]})
    splits = split_rows_by_class({"train": rows}, test_fraction, split_seed)
    folder = _find_images(data_dir, "train", path)
    if check_files:
        check_all_files(folder, {"train": rows})
    return DatasetDict({split: make_split(folder, part, image_ids=_ids(part)) for split, part in splits.items()})


def load_gldv2_retrieval(
    data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True, check_files: bool = True
) -> DatasetDict:
    """Load the images of the retrieval task of Google Landmarks v2: the queries that count, and the index to search.

    Args:
        data_dir: The folder with `index.csv` (or `metadata/` with it), `retrieval_solution_v2.1.csv` (or
            `ground_truth/` with it), `index/` and `test/`.
        check_counts: Whether to check the numbers of queries and of index images against the official ones, 1,129 and
            761,757.
        check_files: Whether to check that every image is there. This takes a while.

    Returns:
        A `DatasetDict` with `query` and `gallery` and the columns `image` and `image_id`, in the order of the rows of
        `load_gldv2_ground_truth`. Ignored test images are left out: `ignored_ids` of the ground truth has them. There
        are no labels: a query may have several landmarks.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: The lists are malformed or contradictory (`read_ground_truth`), or the counts are not the official
            ones.
    """
    from datasets import DatasetDict

    truth = load_gldv2_ground_truth(data_dir, check_counts=check_counts)
    ids = {"query": list(truth.query_ids), "gallery": list(truth.gallery_ids)}
    rows: dict[str, Rows] = {split: [(0, image_path(image_id)) for image_id in part] for split, part in ids.items()}
    folders = {split: _find_images(data_dir, FOLDERS[split], find_list(data_dir, SOLUTION)) for split in rows}
    if check_files:
        for split, part in rows.items():
            check_all_files(folders[split], {split: part})
    return DatasetDict(
        {
            split: make_split(folders[split], part, image_ids=ids[split]).remove_columns("label")
            for split, part in rows.items()
        }
    )


def load_gldv2_ground_truth(
    data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True
) -> Gldv2GroundTruth:
    """Load the index images that show the landmark of each query. No image is needed.

    Args:
        data_dir: The folder with `index.csv` (or `metadata/` with it) and `retrieval_solution_v2.1.csv` (or
            `ground_truth/` with it).
        check_counts: Whether to check the numbers of queries and of index images against the official ones, 1,129 and
            761,757.

    Returns:
        The ground truth. Its rows are those of the splits of `load_gldv2_retrieval`.

    Raises:
        FileNotFoundError: A list is not at `data_dir`; the message says where to get it.
        ValueError: The lists are malformed or contradictory (`read_ground_truth`), or the counts are not the official
            ones.
    """
    solution = find_list(data_dir, SOLUTION)
    truth = read_ground_truth(find_list(data_dir, INDEX), solution)
    found = {"query": len(truth.query_ids), "gallery": len(truth.gallery_ids)}
    if check_counts and found != OFFICIAL_RETRIEVAL:
        raise ValueError(
            f"{solution}: expected {OFFICIAL_RETRIEVAL['query']:,} queries that count and {INDEX} with "
            f"{OFFICIAL_RETRIEVAL['gallery']:,} images, found {found['query']:,} and {found['gallery']:,}. Get the "
            "official files again, or pass check_counts=False (results are then not comparable)"
        )
    return truth


def _ids(rows: Rows) -> list[str]:
    return [path[_PREFIX:-_SUFFIX] for _, path in rows]


def _find_images(data_dir: str | PathLike[str] | None, name: str, beside: Path) -> Path:
    folder = Path(data_dir or "").expanduser() / name
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{beside} is there and its images are not: expected {folder} with the folders 0 to f. Extract the "
            f"official {name} archives, images_000.tar and so on, there"
        )
    return folder
