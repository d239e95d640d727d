"""Re-encode the rows of a split with threads, in order, one row group at a time, with few of them in memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..image_checks import mend_image
from ..images import image_suffixes
from ..in_order import default_threads
from ..schema import name_some
from .parquet_shards import ROW_GROUP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reencoding import Encoding
    from .row_source import Position, RowSource

GROUPS_AHEAD = 2  # row groups that are read and encoded while one is written


@dataclass
class RowGroup:
    """Rows ready to be written.

    Attributes:
        rows: The rows, with re-encoded images.
        skipped: The images that were left out, each with `row` (in the source), `image_id` and `reason`.
        mended: The truncated JPEG files that were completed, in the same form.
        position: Position in the source at which the next group begins.
    """

    rows: list[dict[str, Any]]
    skipped: list[dict[str, Any]]
    mended: list[dict[str, Any]]
    position: Position

    @property
    def num_bytes(self) -> int:
        """Size of the encoded images in bytes."""
        return sum(len(row["image"]["bytes"]) for row in self.rows)


def encode_groups(
    source: RowSource, encoding: Encoding, num_workers: int | None, *, on_bad_image: str
) -> Iterator[RowGroup]:
    """Re-encode the remaining rows of a source.

    Args:
        source: The source. One thread reads its rows in order, a few groups ahead of the yielded one.
        encoding: The size and format of the stored images.
        num_workers: Number of threads; `None`: one per CPU, at most 16, because more are limited by the disk.
        on_bad_image: What is done about unreadable images, one of `ON_BAD_IMAGE`.

    Yields:
        Groups of `ROW_GROUP_SIZE` source rows. The last group and groups with left-out images have fewer rows. No group
        is empty: where all images are left out, the group before or after holds the notes of these images.

    Raises:
        ValueError: An `image_id` is null; or images are unreadable and `on_bad_image` is `"error"`. The message
            names the bad images of the first group that has any.
    """
    held: RowGroup | None = None
    for group in _encode_in_order(source, encoding, num_workers or default_threads(), on_bad_image):
        if held is None:
            held = group
        elif held.rows and group.rows:
            yield held
            held = group
        else:
            skipped, mended = held.skipped + group.skipped, held.mended + group.mended
            held = RowGroup(held.rows + group.rows, skipped, mended, group.position)
    if held is not None and held.rows:
        yield held


def _encode_in_order(source: RowSource, encoding: Encoding, num_workers: int, on_bad_image: str) -> Iterator[RowGroup]:
    """Yield a group for each `ROW_GROUP_SIZE` rows of the source; a group may be empty."""
    waiting: deque[tuple[int, list[dict[str, Any]], list[Future[_Encoded]], Position]] = deque()
    threads = ThreadPoolExecutor(num_workers)
    rows = iter(source)
    try:
        while True:
            first = source.position["rows"]
            batch = list(islice(rows, ROW_GROUP_SIZE))
            if batch:
                # The position of a stream is that of the last row read, so it is taken before the next row is read.
                encoded = [threads.submit(_encode, row, encoding, on_bad_image == "mend") for row in batch]
                waiting.append((first, batch, encoded, source.position))
            if not waiting:
                return
            if not batch or len(waiting) > GROUPS_AHEAD:
                yield _finish_group(*waiting.popleft(), encoding, skip=on_bad_image != "error")
    finally:
        threads.shutdown(cancel_futures=True)


class _Encoded(NamedTuple):
    """An encoded image, and why it could not be read before it was mended."""

    content: bytes
    fault: str | None = None


def _encode(row: dict[str, Any], encoding: Encoding, mend: bool) -> _Encoded:
    stored = row.pop("image")  # frees the original as soon as it is encoded
    try:
        return _Encoded(encoding.encode(stored))
    except ValueError as fault:
        mended = mend_image(stored) if mend else None
        if mended is None:
            raise
        return _Encoded(encoding.encode(mended), str(fault))


def _finish_group(
    first: int,
    batch: list[dict[str, Any]],
    encoded: list[Future[_Encoded]],
    position: Position,
    encoding: Encoding,
    *,
    skip: bool,
) -> RowGroup:
    """Wait for the encoded images of a group, and make the group."""
    group = RowGroup([], [], [], position)
    for row, (item, future) in enumerate(zip(batch, encoded), start=first):
        if item["image_id"] is None:
            raise ValueError(f"image_id is null in row {row}; give each row an image_id, or leave the column out")
        try:
            content, mended_fault = future.result()
        except ValueError as fault:
            group.skipped.append({"row": row, "image_id": item["image_id"], "reason": str(fault)})
            continue
        if mended_fault is not None:
            group.mended.append({"row": row, "image_id": item["image_id"], "reason": mended_fault})
        name = _file_name(item["image_id"], encoding)
        group.rows.append({**item, "image": {"bytes": content, "path": name}})
    if group.skipped and not skip:
        named = name_some([f"row {bad['row']}, {bad['image_id']}: {bad['reason']}" for bad in group.skipped])
        raise ValueError(
            f"{len(group.skipped)} images cannot be read: {named}. Mend them or drop their rows, and repeat the "
            "call, which continues from here; or complete truncated JPEG files (--on_bad_image mend), or leave them "
            "out (--on_bad_image skip)"
        )
    return group


def _file_name(image_id: str, encoding: Encoding) -> str:
    """Return a name for the file of an image, without the folders of the machine that it came from."""
    path = PurePosixPath(image_id)
    return (path.stem if path.suffix.lower() in image_suffixes() else path.name) + encoding.ending
