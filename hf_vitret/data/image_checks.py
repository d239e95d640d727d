"""Decode every image of a data set once, to find bad files before training starts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .images import read_encoded, read_image
from .in_order import map_in_order
from .schema import MAX_NAMED
from .untrusted.truncated_jpegs import completed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datasets import Dataset


ON_BAD_IMAGE = ("error", "skip", "mend")
"""What to do about unreadable images.

`"error"`: raise an error that names them. `"skip"`: leave them out and report them. `"mend"`: complete truncated JPEG
files (`mend_image`), leave the others out, and report both.
"""


LOST = 128  # level of all channels where a decoder has no data
MAX_LOST = 0.9  # share of the area of a mended image that may be missing


class BadImage(NamedTuple):
    """An image that cannot be read.

    Attributes:
        row: Row of the data set.
        image_id: Id of the image.
        path: Path of its file; `None` for an image inside another file.
        reason: Why it cannot be read.
        is_mendable: Whether `mend_image` makes it readable; False if that was not tried.
    """

    row: int
    image_id: str
    path: str | None
    reason: str
    is_mendable: bool = False

    def __str__(self) -> str:
        file = f" ({self.path})" if self.path and not self.path.endswith(self.image_id) else ""
        return f"row {self.row}, {self.image_id}{file}: {self.reason}"


def find_bad_images(dataset: Dataset, *, num_threads: int | None = None, mend: bool = False) -> list[BadImage]:
    """Decode every image of a split once.

    Args:
        dataset: A split with the columns `image` and `image_id`. A few images per thread are in memory at a time.
        num_threads: Number of threads that read and decode (the decoders of Pillow release the interpreter's lock);
            `None`: one per CPU, at most 16, because more are limited by the disk.
        mend: Whether to find out which of them can be mended.

    Returns:
        The images that are missing, empty, truncated or otherwise unreadable, sorted by row.
    """
    from datasets import Image as ImageFeature
    from tqdm.auto import tqdm

    rows = dataset.select_columns(["image", "image_id"]).cast_column("image", ImageFeature(decode=False))
    checked = map_in_order(partial(_check, mend=mend), enumerate(rows), num_threads)
    with tqdm(checked, total=len(rows), desc="Checking images") as bar:
        return [bad for bad in bar if bad is not None]


def check_images(dataset: Dataset, *, num_threads: int | None = None) -> None:
    """Decode every image of a split once, so that a bad file stops a run before it starts.

    Args:
        dataset: A split with the columns `image` and `image_id`.
        num_threads: Number of threads that read and decode; `None`: one per CPU, at most 16.

    Raises:
        ValueError: Images are missing, empty, truncated or otherwise unreadable. The message counts them, and names the
            first ten by row, image_id and file.
    """
    bad = find_bad_images(dataset, num_threads=num_threads)
    if bad:
        raise ValueError(describe_bad_images(bad, len(dataset)))


def describe_bad_images(bad: Sequence[BadImage], num_images: int) -> str:
    """Return a message that counts the unreadable images of a split, names the first ten, and says how to mend them.

    Args:
        bad: The unreadable images.
        num_images: Number of images in the split.
    """
    named = "\n  ".join(map(str, bad[:MAX_NAMED]))
    more = f"\n  ... and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    return (
        f"{len(bad)} of {num_images} images cannot be read:\n  {named}{more}\nMend or remove these files, "
        "complete truncated JPEG files (--on_bad_image mend), or leave them out (--on_bad_image skip, or "
        "dataset.select), and check again"
    )


def mend_image(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Complete a JPEG file that is cut off: it gets an end marker, and the part of the picture that is there is kept.

    Decoders show the missing part in grey. An image of which more than `MAX_LOST` is missing is not mended.

    Args:
        stored: The image as `datasets.Image(decode=False)` stores it: the encoded file as `bytes`, or else its `path`.

    Returns:
        The image in the same form, with the completed bytes and no path. `None` if that does not make it readable: it
        is no JPEG file, it has its end marker, it is damaged in another way, or too little of its picture is there.
    """
    try:
        content = read_encoded(stored)
    except Exception:  # file systems, and the clients that fetch URLs, raise exceptions of many kinds
        return None
    if content is None or completed(content) == content:
        return None
    mended = {"bytes": completed(content), "path": None}
    try:
        small = np.asarray(read_image(mended, short_side=1))  # (height, width, 3), a pixel for each block of 8 x 8
    except ValueError:
        return None
    return mended if np.all(small == LOST, axis=2).mean() <= MAX_LOST else None


def _check(numbered: tuple[int, dict[str, Any]], mend: bool) -> BadImage | None:
    """Decode the image of a row, given with the number of the row; return what is wrong, or `None`."""
    row, item = numbered
    stored = item["image"]
    try:
        read_image(stored, short_side=1)  # a JPEG is read to its end, but decoded at 1/64 of its pixels
    except ValueError as error:
        path = None if stored is None or stored["bytes"] is not None else stored["path"]
        return BadImage(row, item["image_id"], path, str(error), mend and mend_image(stored) is not None)
    return None
