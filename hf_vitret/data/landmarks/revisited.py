"""ROxford5k and RParis6k: 70 queries each, cropped to the building that they ask for, and a gallery to search.

Reference:
    Radenovic, Iscen, Tolias, Avrithis, Chum, "Revisiting Oxford and Paris", arXiv 1803.11285.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ...models.image_formats import formats_of
from ..benchmarks.official_files import check_files, is_relative
from ..benchmarks.official_tars import extract_by_name
from ..schema import name_some
from ..untrusted.truncated_jpegs import stored_image
from .revisited_files import read_ground_truth

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from datasets import DatasetDict

    from .revisited_ground_truth import Box, RevisitedGroundTruth

IMAGES, EXTENSION = "jpg", ".jpg"
# Pattern and number of the archives that hold the images, beside the ground truth. Their inner folders do not matter.
ARCHIVES = {"roxford5k": ("oxbuild_images*.tgz", 1), "rparis6k": ("paris_[12]*.tgz", 2)}


def load_revisited(name: str, data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load the images of a revisited data set, in the order of its ground truth.

    Queries are cropped to their boxes first and kept as PNG, so that the pixels of the crop are exact; the sides of a
    box are rounded as `PIL.Image.crop` rounds them. Gallery images stay files and are decoded when they are used. Of a
    JPEG file that is cut off, the part that is there is read, as the official programs do. Boxes refer to the stored
    pixels, before any EXIF rotation.

    Args:
        name: `"roxford5k"` or `"rparis6k"`; with `check_counts=False` the name of any data set in their format.
        data_dir: The folder with `gnd_<name>.pkl` (or the `.json` converted from it) and `jpg/`, or its parent. The
            official archives may stand for `jpg/`; they are extracted once.
        check_counts: Whether to check the numbers of images against the official ones.

    Returns:
        A `DatasetDict` with two splits. `query` has the columns `image` (the crop), `image_id`, `box` (four float64)
        and `full_size` (width and height before the crop, two int64); `gallery` has `image` and `image_id`. There are
        no labels: `load_revisited_ground_truth` gives the gallery images that show the object of a query.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: The name is not known; the counts are not the official ones; the ground truth is damaged, hostile or
            contradictory; a query is in the gallery or unreadable; a box is outside its image.
    """
    from datasets import Dataset, DatasetDict, Features, Image, Sequence, Value

    path, truth = read_ground_truth(name, data_dir, check_counts=check_counts)
    _check_ids(path, truth)
    folder = _find_images(path, name)
    files = {"query": [(0, f"{image_id}{EXTENSION}") for image_id in truth.query_ids]}
    files["gallery"] = [(0, f"{image_id}{EXTENSION}") for image_id in truth.gallery_ids]
    check_files(folder, files)
    crops = [_crop(folder / file, box) for (_, file), box in zip(files["query"], truth.boxes)]
    query = Dataset.from_dict(
        {
            "image": [{"bytes": png, "path": None} for png, _ in crops],
            "image_id": list(truth.query_ids),
            "box": [list(box) for box in truth.boxes],
            "full_size": [list(size) for _, size in crops],
        },
        features=Features(
            image=Image(),
            image_id=Value("string"),
            box=Sequence(Value("float64"), length=4),
            full_size=Sequence(Value("int64"), length=2),
        ),
    )
    gallery = Dataset.from_dict(
        {
            "image": [stored_image(folder / file) for _, file in files["gallery"]],
            "image_id": list(truth.gallery_ids),
        },
        features=Features(image=Image(), image_id=Value("string")),
    )
    return DatasetDict({"query": query, "gallery": gallery})


def load_revisited_ground_truth(
    name: str, data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True
) -> RevisitedGroundTruth:
    """Load the gallery images that show the object of each query, from the converted file or the official pickle.

    Args:
        name: `"roxford5k"` or `"rparis6k"`; with `check_counts=False` the name of any data set in their format.
        data_dir: The folder with `gnd_<name>.pkl` (or the `.json` converted from it), or its parent. No image is
            needed.
        check_counts: Whether to check the numbers of images against the official ones.

    Returns:
        The ground truth. Its rows are those of the splits of `load_revisited`.

    Raises:
        FileNotFoundError: There is no ground truth at `data_dir`; the message says where to get it.
        ValueError: The name is not known, the counts are not the official ones, or the file is damaged, hostile or
            contradictory (`RevisitedGroundTruth`).
    """
    return read_ground_truth(name, data_dir, check_counts=check_counts)[1]


def _check_ids(path: Path, truth: RevisitedGroundTruth) -> None:
    """Check that ids are names of files below the folder, and that no query is in the gallery."""
    wrong = [value for value in truth.query_ids + truth.gallery_ids if not is_relative(value) or "\\" in value]
    if wrong:
        raise ValueError(f"{path}: expected names of files below {IMAGES}/, got {name_some(wrong)}")
    both = set(truth.query_ids) & set(truth.gallery_ids)
    if both:
        raise ValueError(f"{path}: expected no query in the gallery; these are in both: {name_some(sorted(both))}")


def _find_images(path: Path, name: str) -> Path:
    """Return the folder of the images; extract their archives if there is no folder."""
    folder = path.parent
    if (folder / IMAGES).is_dir():
        return folder / IMAGES
    pattern, wanted = ARCHIVES.get(name, ("", 0))
    archives = sorted(folder.glob(pattern)) if pattern else []
    if archives and len(archives) == wanted:
        return extract_by_name(archives, folder / IMAGES, str)
    raise FileNotFoundError(
        f"{path} is there and its images are not: expected {IMAGES}/ beside it"
        + (f", or {wanted} archive{'s' * (wanted > 1)} {pattern}; found {len(archives)}" if pattern else "")
    )


def _crop(path: Path, box: Box) -> tuple[bytes, tuple[int, int]]:
    """Return the part of an image inside a box as PNG, and the width and height of the whole image."""
    from PIL import Image

    stored: dict[str, Any] = stored_image(path)
    try:
        content = path.read_bytes() if stored["bytes"] is None else stored["bytes"]
        with Image.open(io.BytesIO(content), formats=formats_of(content)) as image:
            size = image.size
            image.load()
            part = image.convert("RGB").crop(box)  # it rounds
    except Exception as error:  # decoders raise exceptions of many kinds
        raise ValueError(f"{path}: this query is unreadable ({type(error).__name__}: {error})") from error
    if box[0] >= size[0] or box[1] >= size[1] or box[2] <= 0 or box[3] <= 0 or 0 in part.size:
        raise ValueError(f"{path}: the box {box} is outside the image of {size[0]} x {size[1]} pixels")
    png = io.BytesIO()
    part.save(png, "PNG")
    return png.getvalue(), size
