"""Every image of a data set decoded once, so that a bad file is known before training starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .images import read_image
from .in_order import map_in_order
from .schema import MAX_NAMED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset


ON_BAD_IMAGE = ("error", "skip")
"""What to do about images that cannot be read: name them and stop, or leave them out and say so."""


class BadImage(NamedTuple):
    """An image that cannot be read.

    Attributes:
        row: Row of the data set.
        image_id: Its id.
        path: Its file, where it has one of its own.
        reason: What is wrong with it.
    """

    row: int
    image_id: str
    path: str | None
    reason: str

    def __str__(self) -> str:
        file = f" ({self.path})" if self.path and not self.path.endswith(self.image_id) else ""
        return f"row {self.row}, {self.image_id}{file}: {self.reason}"


def find_bad_images(dataset: Dataset, *, num_threads: int | None = None) -> list[BadImage]:
    """Decode every image of a split once.

    Args:
        dataset: A split with the columns `image` and `image_id`. At most a few images per thread are in
            memory.
        num_threads: Threads that read and decode (Pillow's decoders let go of the interpreter's lock);
            default: one per CPU, 16 at most, above which a disk is the limit.

    Returns:
        The images that are missing, empty, truncated or otherwise unreadable, by row.
    """
    from datasets import Image as ImageFeature
    from tqdm.auto import tqdm

    rows = dataset.select_columns(["image", "image_id"]).cast_column("image", ImageFeature(decode=False))
    checked = map_in_order(_check, enumerate(rows), num_threads)
    with tqdm(checked, total=len(rows), desc="Checking images") as bar:
        return [bad for bad in bar if bad is not None]


def check_images(dataset: Dataset, *, num_threads: int | None = None) -> None:
    """Decode every image of a split once, so that a bad file stops a run before it starts.

    Args:
        dataset: As for `find_bad_images`.
        num_threads: As for `find_bad_images`.

    Raises:
        ValueError: Images are missing, empty, truncated or otherwise unreadable; the message names the first
            ten by row, image_id and file, and counts them.
    """
    bad = find_bad_images(dataset, num_threads=num_threads)
    if bad:
        raise ValueError(describe_bad_images(bad, len(dataset)))


def describe_bad_images(bad: Sequence[BadImage], num_images: int) -> str:
    """Say which of a split's images cannot be read, the first ten by name, and how to mend it."""
    named = "\n  ".join(map(str, bad[:MAX_NAMED]))
    more = f"\n  ... and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    return (
        f"{len(bad)} of {num_images} images cannot be read:\n  {named}{more}\nMend or remove these files, "
        "or leave them out (--on_bad_image skip, or dataset.select), and check again"
    )


def _check(numbered: tuple[int, dict[str, Any]]) -> BadImage | None:
    """Decode the image of a row, as `datasets` stores it (bytes, else a path)."""
    row, item = numbered
    stored = item["image"]
    try:
        read_image(stored, short_side=1)  # of a JPEG all of the stream is still read, but 1/64 of the pixels are made
    except ValueError as error:
        path = None if stored is None or stored["bytes"] is not None else stored["path"]
        return BadImage(row, item["image_id"], path, str(error))
    return None
