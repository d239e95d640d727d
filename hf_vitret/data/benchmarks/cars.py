"""Cars-196 (Krause et al. 2013), split by class as metric learning does, from its official files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..untrusted.archives.extraction import extract_archive
from ..untrusted.matlab_files import read_matlab_file, single_number, single_text
from .official_files import Rows, check_files, check_official_counts, is_relative, make_split

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

ANNOTATIONS = "cars_annos.mat"
FOLDER, ARCHIVE = "car_ims", "car_ims.tgz"
NUM_CLASSES, NUM_TRAIN_CLASSES = 196, 98
OFFICIAL_COUNTS = {"train": (8_054, 98), "test": (8_131, 98)}
EXTRA = "cars"  # of setup.cfg: scipy, which reads the annotations


def load_cars(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load Cars-196: 16,185 photographs of 196 models of cars, of which the first 98 are the training split.

    This is the split of metric learning (Song et al., arXiv 1511.06452, section 5). The loader does not read the
    official field `test`, which divides the images of each model for classification, nor the bounding boxes.

    The format of `cars_annos.mat` is certain: a struct array `annotations` with the fields `relative_im_path`
    ("car_ims/000001.jpg"), `class` (from 1) and others, and a cell array `class_names`. The original addresses at
    Stanford no longer answer, so copies are in use; those with `cars_train/` and `cars_test/` have other file names and
    other lists, and are not read.

    Args:
        data_dir: The folder with `cars_annos.mat` and the images: `car_ims/`, or `car_ims.tgz`. The archive is
            extracted once, into the folder that it lies in, and takes about 2 GB more.
        check_counts: Whether to check the numbers of images and classes against the official ones.

    Returns:
        A `DatasetDict` with `train` (8,054 images of classes 1 to 98) and `test` (8,131 images of classes 99 to 196).
        `label` is a `ClassLabel` with all 196 names, such as "AM General Hummer SUV 2000"; `image_id` is the official
        path, such as "car_ims/000001.jpg".

    Raises:
        ImportError: scipy is not installed.
        FileNotFoundError: The data set is not at `data_dir` (the message says what is expected there), or some of its
            images are missing.
        ValueError: `cars_annos.mat` is no MATLAB file or lacks an official field, an annotation is malformed, or the
            counts are not the official ones.
    """
    from datasets import ClassLabel, DatasetDict

    folder = _find_folder(data_dir)
    names, rows = _read_annotations(folder / ANNOTATIONS)
    if check_counts:
        check_official_counts(folder, rows, OFFICIAL_COUNTS)
    if not (folder / FOLDER).is_dir():
        if not (folder / ARCHIVE).is_file():
            raise FileNotFoundError(f"{folder} has {ANNOTATIONS} and no images: expected {FOLDER}/ or {ARCHIVE} there")
        extract_archive(folder / ARCHIVE, folder / FOLDER, FOLDER)
    check_files(folder, rows)
    label = ClassLabel(names=names)
    return DatasetDict({split: make_split(folder, split_rows, label) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None) -> Path:
    """Return the folder that holds the annotations."""
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given.parent):  # the parent: of an archive or of car_ims/
            if (folder / ANNOTATIONS).is_file() and (folder == given or given.name in (FOLDER, ARCHIVE, ANNOTATIONS)):
                return folder
    raise FileNotFoundError(
        f"Cars-196 is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get {ARCHIVE} (1.8 GB) and "
        f"{ANNOTATIONS}, which were at https://ai.stanford.edu/~jkrause/cars/car_dataset.html,\n"
        f"and pass data_dir=<the folder that holds both>: expected {ANNOTATIONS}, and {FOLDER}/ or {ARCHIVE}.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_annotations(path: Path) -> tuple[list[str], dict[str, Rows]]:
    """Read `cars_annos.mat`: the names of the classes, and the images of each split."""
    content = read_matlab_file(path, ("annotations", "class_names"), extra=EXTRA)
    names = [single_text(name) for name in content["class_names"].ravel()]
    annotations: Any = content["annotations"].ravel()
    if len(names) != NUM_CLASSES or None in names or len(set(names)) != NUM_CLASSES:
        raise ValueError(f"{path}: expected {NUM_CLASSES} different texts in class_names, got {len(set(names))}")
    if not {"relative_im_path", "class"} <= set(annotations.dtype.names or ()):
        raise ValueError(
            f"{path}: expected the fields relative_im_path and class in annotations, got "
            f"{', '.join(annotations.dtype.names or ()) or 'no struct array'}"
        )
    rows: dict[str, Rows] = {"train": [], "test": []}
    for number, annotation in enumerate(annotations, start=1):
        image, class_id = single_text(annotation["relative_im_path"]), single_number(annotation["class"])
        is_image = image is not None and is_relative(image) and image.startswith(f"{FOLDER}/")
        if image is None or not is_image or class_id is None or not 1 <= class_id <= NUM_CLASSES:
            raise ValueError(
                f"{path}, annotation {number}: expected a path below {FOLDER}/ and a class from 1 to {NUM_CLASSES}, "
                f"got {image!r} and {class_id!r}"
            )
        rows["train" if class_id <= NUM_TRAIN_CLASSES else "test"].append((class_id - 1, image))
    return [str(name) for name in names], rows
