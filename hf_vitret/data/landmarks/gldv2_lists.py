"""Read and check the lists of Google Landmarks v2: training images, index, and the solution of the retrieval task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..benchmarks.official_files import first_file
from ..schema import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from pathlib import Path

    from numpy.typing import NDArray

    from ..benchmarks.official_files import Rows

TRAIN, TRAIN_CLEAN = "train.csv", "train_clean.csv"
INDEX, SOLUTION = "index.csv", "retrieval_solution_v2.1.csv"
HEADERS = {
    TRAIN: "id,url,landmark_id",
    TRAIN_CLEAN: "landmark_id,images",
    INDEX: "id",
    SOLUTION: "id,images,Usage",
}
FOLDERS = ("", "metadata", "ground_truth")  # the last two are the folders of the official addresses
PUBLIC, PRIVATE, IGNORED = "Public", "Private", "Ignored"
NO_IMAGES = ("", "None")  # what `images` holds for an ignored query
ID_LENGTH = 16
_ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class Gldv2GroundTruth:
    """The ground truth of the retrieval task of Google Landmarks v2: for each query, the index images of its landmark.

    Attributes:
        query_ids: Ids of the test images that are scored, in the order of the solution. Ignored ones are not here.
        gallery_ids: Ids of the index images, in the order of `index.csv`. A row of the gallery is a position in this.
        positives: For each query `(num_positives,)` int64, ascending: the gallery rows with its landmark, at least one.
        usages: For each query `"Public"` or `"Private"`, the part of the test set that it belongs to.
        ignored_ids: Ids of the test images that the solution marks as ignored: they show no landmark of the index.

    Reference:
        Weyand, Araujo, Cao, Sim, "Google Landmarks Dataset v2", arXiv 2004.01804.
    """

    query_ids: tuple[str, ...]
    gallery_ids: tuple[str, ...]
    positives: tuple[NDArray[np.int64], ...]
    usages: tuple[str, ...]
    ignored_ids: tuple[str, ...]


def image_path(image_id: str) -> str:
    """Return the path of an image below `train/`, `index/` or `test/`, for an id of 16 characters.

    Examples:
        >>> image_path("0123456789abcdef")
        '0/1/2/0123456789abcdef.jpg'
    """
    return f"{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.jpg"


def find_list(data_dir: str | PathLike[str] | None, name: str) -> Path:
    """Find a list of the data set.

    Args:
        data_dir: The folder that has the file, or one of `FOLDERS` with it; `None` finds nothing.
        name: Name of the file, a key of `HEADERS`.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: There is no such file; the message says where to get it.
    """
    found = first_file(data_dir, FOLDERS, [name])
    if found is not None:
        return found
    source = "https://s3.amazonaws.com/google-landmark"
    images = "train/" if name in (TRAIN, TRAIN_CLEAN) else "index/ and test/"
    raise FileNotFoundError(
        f"{name} is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get it from "
        f"{source}/{'ground_truth' if name == SOLUTION else 'metadata'}/{name}\n"
        "and the images by the script of https://github.com/cvdfoundation/google-landmark, and pass data_dir=<the "
        f"folder with both>: expected {name} and {images}"
    )


def read_training_rows(path: Path) -> Rows:
    """Read `train_clean.csv` or `train.csv`: the landmark of each training image.

    Args:
        path: The file. Its header says which of the two it is.

    Returns:
        The landmark_id and the path below `train/` of each image, in the order of the file.

    Raises:
        ValueError: The file is not UTF-8; the header or a line is not as expected; an image is there twice. The message
            names the file and the line.
    """
    lines = _lines(path)
    header = next(lines, (1, "an empty file"))[1]
    if header not in (HEADERS[TRAIN], HEADERS[TRAIN_CLEAN]):
        raise ValueError(
            f"{path}, line 1: expected the header {HEADERS[TRAIN_CLEAN]!r} or {HEADERS[TRAIN]!r}, got {header[:80]!r}. "
            "Use the official file"
        )
    seen: set[str] = set()
    rows: Rows = []
    for number, line in lines:
        first, _, rest = line.partition(",")
        if header == HEADERS[TRAIN_CLEAN]:
            landmark, ids = first, rest.split(" ")
        else:  # a url may have commas and quotation marks, and stands between the other two
            landmark, ids = rest.rpartition(",")[2], [first]
        if not _NUMBER.fullmatch(landmark):
            raise ValueError(f"{path}, line {number}: expected a landmark_id, a whole number; got {landmark[:80]!r}")
        _check_ids(path, number, ids)
        repeated = []
        for image_id in ids:
            if image_id in seen:
                repeated.append(image_id)
            seen.add(image_id)
        if repeated:
            raise ValueError(
                f"{path}, line {number}: expected each image once; these are there again: {name_some(repeated)}. Use "
                "the official file"
            )
        rows += [(int(landmark), image_path(image_id)) for image_id in ids]
    if not rows:
        raise ValueError(f"{path}: expected images, found the header alone. Get the official file again")
    return rows


def read_ground_truth(index: Path, solution: Path) -> Gldv2GroundTruth:
    """Read and check the list of the index and the solution of the retrieval task.

    Args:
        index: `index.csv`.
        solution: `retrieval_solution_v2.1.csv`.

    Returns:
        The ground truth in them.

    Raises:
        ValueError: A file is not UTF-8; its header or a line is not as expected; an id is there twice; a query that is
            not ignored has no images; a positive is not in the index; a query is in the index. The message names the
            file and the line.
    """
    rows: dict[str, int] = {}
    for number, line in _lines_of(index, HEADERS[INDEX]):
        _check_ids(index, number, [line])
        if line in rows:
            raise ValueError(f"{index}, line {number}: expected each image once; {line} is there again")
        rows[line] = len(rows)
    usages: dict[str, str] = {}
    positives: dict[str, NDArray[np.int64]] = {}
    for number, line in _lines_of(solution, HEADERS[SOLUTION]):
        cells = line.split(",")
        if len(cells) != 3 or cells[2] not in (PUBLIC, PRIVATE, IGNORED):
            raise ValueError(
                f"{solution}, line {number}: expected an id, images and {PUBLIC}, {PRIVATE} or {IGNORED}; got "
                f"{line[:80]!r}"
            )
        query, images, usage = cells
        _check_ids(solution, number, [query])
        if query in usages or query in rows:
            where = "the index" if query in rows else "a line before"
            raise ValueError(f"{solution}, line {number}: expected a new test image; {query} is in {where} too")
        usages[query] = usage
        if usage != IGNORED:
            positives[query] = _rows_of(solution, number, images, rows)
    if not rows or not positives:
        empty = index if not rows else solution
        raise ValueError(f"{empty}: expected images, found none that count. Get the official file again")
    return Gldv2GroundTruth(
        tuple(positives),
        tuple(rows),
        tuple(positives.values()),
        tuple(usages[query] for query in positives),
        tuple(query for query, usage in usages.items() if usage == IGNORED),
    )


def _rows_of(path: Path, number: int, images: str, rows: dict[str, int]) -> NDArray[np.int64]:
    """Return the gallery rows of the positives of a query, ascending."""
    if images in NO_IMAGES:
        raise ValueError(
            f"{path}, line {number}: expected the index images of a query that is not {IGNORED}, got {images!r}"
        )
    ids = images.split(" ")
    _check_ids(path, number, ids)
    absent = [image_id for image_id in ids if image_id not in rows]
    if absent:
        raise ValueError(f"{path}, line {number}: expected images of {INDEX}; these are not: {name_some(absent)}")
    found = np.unique(np.array([rows[image_id] for image_id in ids], dtype=np.int64))
    if len(found) < len(ids):
        raise ValueError(f"{path}, line {number}: expected different images, got {len(ids) - len(found)} of them again")
    return found


def _check_ids(path: Path, number: int, ids: list[str]) -> None:
    wrong = [repr(image_id[:40]) for image_id in ids if not _ID.fullmatch(image_id)]
    if wrong:
        raise ValueError(
            f"{path}, line {number}: expected ids of {ID_LENGTH} letters and digits, separated by one space; got "
            f"{name_some(wrong)}"
        )


def _lines_of(path: Path, header: str) -> Iterator[tuple[int, str]]:
    """Yield the lines after the header, which is checked, with their numbers from 2 on."""
    lines = _lines(path)
    found = next(lines, (1, "an empty file"))[1]
    if found != header:
        raise ValueError(f"{path}, line 1: expected the header {header!r}, got {found[:80]!r}. Use the official file")
    yield from lines


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers from 1 on, one at a time.

    The module `csv` does not read a cell above 131,072 characters, which are 7,710 ids, unless a limit of the whole
    process is raised. The cells that are used here need no quotation marks.
    """
    with path.open(encoding="utf-8-sig") as stream:
        try:
            for number, line in enumerate(stream, start=1):
                if line := line.rstrip("\n"):
                    yield number, line.rstrip(" ")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8 ({error}): get the official file again") from error
