"""Rows re-encoded by threads, a row group at a time and in order, and never many of them in memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..images import IMAGE_SUFFIXES
from ..in_order import default_threads
from ..schema import name_some
from .parquet_shards import ROW_GROUP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reencoding import Encoding
    from .row_source import Position, RowSource

GROUPS_AHEAD = 2  # read and encoded while one is written


@dataclass
class RowGroup:
    """Rows ready to be written.

    Attributes:
        rows: With `image` re-encoded.
        skipped: What was left out: `row` in the source, `image_id`, `reason`.
        position: Where in the source the next group begins.
    """

    rows: list[dict[str, Any]]
    skipped: list[dict[str, Any]]
    position: Position

    @property
    def num_bytes(self) -> int:
        """Bytes of the encoded images."""
        return sum(len(row["image"]["bytes"]) for row in self.rows)


def encode_groups(source: RowSource, encoding: Encoding, num_workers: int | None, *, skip: bool) -> Iterator[RowGroup]:
    """Re-encode what is left of a source.

    Args:
        source: Its rows are read by one thread, in order, a few groups ahead of the one that is yielded.
        encoding: How the images are stored.
        num_workers: Threads; default: one per CPU, 16 at most, above which a disk is the limit.
        skip: Whether unreadable images are left out.

    Yields:
        Groups of `ROW_GROUP_SIZE` source rows; the last one has fewer, and so has one with images left out, which is
        never empty: it takes along the notes of those after it that would be.

    Raises:
        ValueError: Images are unreadable, and `skip` is not set: names those of the first group that has any.
    """
    held: RowGroup | None = None
    for group in _encode_in_order(source, encoding, num_workers or default_threads(), skip):
        if held is None:
            held = group
        elif held.rows and group.rows:
            yield held
            held = group
        else:
            held = RowGroup(held.rows + group.rows, held.skipped + group.skipped, group.position)
    if held is not None and held.rows:
        yield held


def _encode_in_order(source: RowSource, encoding: Encoding, num_workers: int, skip: bool) -> Iterator[RowGroup]:
    """Yield a group, perhaps an empty one, for each `ROW_GROUP_SIZE` rows of the source."""
    waiting: deque[tuple[int, list[dict[str, Any]], list[Future[bytes]], Position]] = deque()
    threads = ThreadPoolExecutor(num_workers)
    rows = iter(source)
    try:
        while True:
            first = source.position["rows"]
            batch = list(islice(rows, ROW_GROUP_SIZE))
            if batch:
                # The place in a stream is that of the last row read: noted before the next one is.
                waiting.append(
                    (first, batch, [threads.submit(_encode, row, encoding) for row in batch], source.position)
                )
            if not waiting:
                return
            if not batch or len(waiting) > GROUPS_AHEAD:
                yield _finish_group(*waiting.popleft(), encoding, skip)
    finally:
        threads.shutdown(cancel_futures=True)


def _encode(row: dict[str, Any], encoding: Encoding) -> bytes:
    return encoding.encode(row.pop("image"))  # the original is let go of as soon as it is encoded


def _finish_group(
    first: int,
    batch: list[dict[str, Any]],
    encoded: list[Future[bytes]],
    position: Position,
    encoding: Encoding,
    skip: bool,
) -> RowGroup:
    """Wait for the images of a group and put them into their rows."""
    group = RowGroup([], [], position)
    for row, (item, future) in enumerate(zip(batch, encoded), start=first):
        if item["image_id"] is None:
            raise ValueError(f"image_id is null in row {row}; give each row an image_id, or leave the column out")
        try:
            content = future.result()
        except ValueError as fault:
            group.skipped.append({"row": row, "image_id": item["image_id"], "reason": str(fault)})
            continue
        name = _file_name(item["image_id"], encoding)
        group.rows.append({**item, "image": {"bytes": content, "path": name}})
    if group.skipped and not skip:
        named = name_some([f"row {bad['row']}, {bad['image_id']}: {bad['reason']}" for bad in group.skipped])
        raise ValueError(
            f"{len(group.skipped)} images cannot be read: {named}. Mend them or drop their rows and repeat the call, "
            "which goes on from here; or leave them out (--on_bad_image skip)"
        )
    return group


def _file_name(image_id: str, encoding: Encoding) -> str:
    """Name the file for who takes a single image out; never with a path of the machine that it came from."""
    path = PurePosixPath(image_id)
    return (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name) + encoding.ending
