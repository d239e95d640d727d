"""The ground truth of ROxford5k, RParis6k and data sets in their format: easy, hard and junk images of each query."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.atomic_writes import write_text
from ..schema import name_some
from ..untrusted.unpickling import load_pickle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from numpy.typing import NDArray

Box = tuple[float, float, float, float]

GRADES = ("easy", "hard", "junk")
KEYS = ("imlist", "qimlist", "gnd")  # of the official pickle
FORMAT = 1  # of the JSON file


@dataclass(frozen=True, eq=False)
class RevisitedGroundTruth:
    """The ground truth of a revisited data set: for each query, three disjoint sets of rows of the gallery.

    Rows that are in no set of a query do not show its object. The constructor also takes lists, and stores tuples of
    read-only arrays.

    Attributes:
        query_ids: Names of the query images, without an extension, in the official order.
        gallery_ids: Names of the gallery images, without an extension. A row of the gallery is an index into this.
        boxes: For each query the part of its image that shows the object: left, top, right and bottom in pixels, in the
            convention of `PIL.Image.crop`.
        easy: For each query `(num_easy,)` int64, the rows that show the object clearly.
        hard: For each query `(num_hard,)` int64, the rows that show the object partly covered, from the side, or small.
        junk: For each query `(num_junk,)` int64, the rows that show too little of the object to be judged. They are
            removed from the ranking.

    Raises:
        ValueError: The attributes have different lengths; an id, or a row of one query, occurs twice; a row is out of
            range; a box is empty or not finite.

    Reference:
        Radenovic, Iscen, Tolias, Avrithis, Chum, "Revisiting Oxford and Paris", arXiv 1803.11285, section 2.
    """

    query_ids: tuple[str, ...]
    gallery_ids: tuple[str, ...]
    boxes: tuple[Box, ...]
    easy: tuple[NDArray[np.int64], ...]
    hard: tuple[NDArray[np.int64], ...]
    junk: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        for name in ("query_ids", "gallery_ids"):
            object.__setattr__(self, name, _checked_ids(getattr(self, name), name))
        for name in ("boxes", *GRADES):
            if len(getattr(self, name)) != len(self.query_ids):
                raise ValueError(
                    f"expected {name} of each of the {len(self.query_ids)} queries, got {len(getattr(self, name))}"
                )
        object.__setattr__(self, "boxes", tuple(map(_checked_box, self.boxes, self.query_ids)))
        for name in GRADES:
            rows = tuple(_checked_rows(part, name, query) for part, query in zip(getattr(self, name), self.query_ids))
            object.__setattr__(self, name, rows)
        for query, *parts in zip(self.query_ids, self.easy, self.hard, self.junk):
            _check_sets(np.concatenate(parts), query, len(self.gallery_ids))

    @classmethod
    def from_pickle(cls, path: str | PathLike[str]) -> RevisitedGroundTruth:
        """Read an official pickle, such as `gnd_roxford5k.pkl`, without running code of the file (`load_pickle`).

        Args:
            path: The file.

        Returns:
            The ground truth in it.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged or hostile, has another layout, or breaks a rule of this class.
        """
        found = load_pickle(path)
        if not isinstance(found, dict) or not set(KEYS) <= set(found):
            what = f"a dict with {', '.join(map(str, found))}" if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"{path}: expected a dict with {', '.join(KEYS)}, got {what}; use the revisited file")
        wanted = {"bbx", *GRADES}
        for row, entry in enumerate(found["gnd"]):
            if not isinstance(entry, dict) or not wanted <= set(entry):
                got = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
                raise ValueError(
                    f"{path}: expected bbx, easy, hard and junk of query {row}, got {got}. Files with 'ok' belong "
                    "to the original Oxford5k and Paris6k: use the revisited file"
                )
        grades = {name: [entry[name] for entry in found["gnd"]] for name in GRADES}
        boxes = [entry["bbx"] for entry in found["gnd"]]
        return cls._make(path, query_ids=found["qimlist"], gallery_ids=found["imlist"], boxes=boxes, **grades)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a JSON file that `load` reads back exactly; an existing file is replaced."""
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for name in GRADES:
            content[name] = [rows.tolist() for rows in content[name]]
        write_text(Path(path), json.dumps(content, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RevisitedGroundTruth:
        """Read a JSON file that `save` wrote.

        Args:
            path: The file.

        Returns:
            The ground truth in it.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged, has another format, or breaks a rule of this class.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON, or is cut off ({error}): convert the official file again") from error
        names = ("query_ids", "gallery_ids", "boxes", *GRADES)
        if not isinstance(content, dict) or content.get("format") != FORMAT or not set(names) <= set(content):
            raise ValueError(
                f"{path}: expected format {FORMAT} with {', '.join(names)}; convert the official file again"
            )
        return cls._make(path, **{name: content[name] for name in names})

    @classmethod
    def _make(cls, path: str | PathLike[str], **parts: Any) -> RevisitedGroundTruth:
        """Make a ground truth from the content of a file, and name the file in errors."""
        try:
            return cls(**parts)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}. Download the official file again") from error


def _checked_ids(ids: Iterable[Any], name: str) -> tuple[str, ...]:
    ids = tuple(ids)
    wrong = [value for value in ids if not isinstance(value, str)]
    if wrong or not ids:
        raise ValueError(f"expected {name} as text, at least one; got {name_some(wrong) or 'none'}")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        repeated = [value for value in ids if value in seen or seen.add(value)]  # type: ignore[func-returns-value]
        raise ValueError(f"expected different {name}, but these repeat: {name_some(repeated)}")
    return tuple(map(str, ids))  # plain str, not `numpy.str_`


def _checked_box(box: Iterable[Any], query: str) -> Box:
    sides = tuple(map(float, box))
    is_box = len(sides) == 4 and all(map(math.isfinite, sides)) and sides[0] < sides[2] and sides[1] < sides[3]
    if not is_box:
        raise ValueError(
            f"query {query!r}: expected a box of left < right and top < bottom (left, top, right, bottom), got {sides}"
        )
    return sides[0], sides[1], sides[2], sides[3]


def _checked_rows(rows: Any, name: str, query: str) -> NDArray[np.int64]:
    """Return rows as a read-only int64 copy. An empty list has the type float64 before."""
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"query {query!r}: expected {name} as a list of rows, got {array.dtype} of shape {array.shape}"
        )
    checked = array.astype(np.int64)
    checked.flags.writeable = False
    return checked


def _check_sets(rows: NDArray[np.int64], query: str, num_gallery: int) -> None:
    """Check that the rows of one query, of all three sets together, are in range and different."""
    outside = rows[(rows < 0) | (rows >= num_gallery)]
    if outside.size:
        raise ValueError(
            f"query {query!r}: expected rows of a gallery of {num_gallery}, 0 to {num_gallery - 1}; got "
            f"{name_some(outside.tolist())}"
        )
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"query {query!r}: expected each row once, in easy, hard or junk; these are there twice: "
            f"{name_some(values[counts > 1].tolist())}"
        )
