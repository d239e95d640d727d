"""`prefetch_batches`: threads read, decode and stack batches of pixels while the model embeds earlier batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch

from ..data.in_order import default_threads

if TYPE_CHECKING:
    from .sources.source import SourceRow, SourceShard

BATCHES_AHEAD = 3  # one is being read, one is being decoded, and one is being stacked or waits


@dataclass(frozen=True)
class BadImage:
    """An image that could not be read.

    Attributes:
        image_id: Its id.
        path: Its path, relative to the root folder of the source.
        error: The reason.
    """

    image_id: str
    path: str
    error: str


@dataclass(frozen=True)
class PixelBatch:
    """Rows of one shard of a source, decoded.

    Attributes:
        shard: Number of the shard.
        rows: The rows whose images could be read.
        pixels: `(len(rows), 3, height, width)` uint8; `None` if no image could be read.
        bad: The images that could not be read.
    """

    shard: int
    rows: list[SourceRow]
    pixels: torch.Tensor | None
    bad: list[BadImage]


Decoded = torch.Tensor | BadImage
_Window = tuple[int, list["SourceRow"], list[Future[Decoded]]]


def prefetch_batches(
    shards: Iterable[tuple[int, SourceShard]],
    read_pixels: Callable[[SourceRow], torch.Tensor],
    *,
    batch_size: int,
    num_threads: int | None = None,
    pin_memory: bool = False,
) -> Iterator[PixelBatch]:
    """Yield the batches of all shards, in order. A batch has rows of one shard, and the same rows in every run.

    Args:
        shards: Number and content of each shard. The next shard is started while the last batches of one are in use.
        read_pixels: Function that decodes the image of a row, and raises `ValueError` if it cannot be read. Several
            threads call it at once.
        batch_size: Number of rows in a batch. The last batch of a shard can have fewer, and a batch with bad images
            has fewer pixels. A shard without rows gives one empty batch.
        num_threads: Number of threads that decode. `None`: one per CPU, at most 16. One more thread reads, and one
            stacks.
        pin_memory: Whether the pixels are in pinned memory, from which an accelerator copies without the CPU.

    Yields:
        The batches.

    Raises:
        Exception: An error while a shard is read.
    """

    def decode(row: SourceRow) -> Decoded:
        try:
            return read_pixels(row)
        except ValueError as error:
            path = (row.stored or {}).get("path")  # the absolute path is private
            reason = str(error).replace(path, row.path) if path else str(error)
            return BadImage(row.image_id, row.path, reason)

    def windows() -> Iterator[_Window]:
        for number, shard in shards:
            rows, num_windows = shard.read(), 0
            while (window := list(islice(rows, batch_size))) or not num_windows:
                _check_ids(window, shard.name)
                num_windows += 1
                yield number, window, [decoders.submit(decode, row) for row in window]

    reader, stacker = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    decoders = ThreadPoolExecutor(num_threads or default_threads())
    upcoming = windows()

    def stack_next() -> Future[PixelBatch] | None:
        window = next(upcoming, None)  # only one thread may read from a stream of rows
        return None if window is None else stacker.submit(_stack, *window, pin_memory)

    waiting = deque(reader.submit(stack_next) for _ in range(BATCHES_AHEAD))
    try:
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(stack_next))
            yield batch.result()
    finally:
        for threads in (reader, decoders, stacker):
            threads.shutdown(cancel_futures=True)


def _stack(shard: int, rows: list[SourceRow], decoded: list[Future[Decoded]], pin_memory: bool) -> PixelBatch:
    results = [future.result() for future in decoded]
    good = [row for row, result in zip(rows, results) if isinstance(result, torch.Tensor)]
    bad = [result for result in results if isinstance(result, BadImage)]
    images = [result for result in results if isinstance(result, torch.Tensor)]
    pixels = torch.stack(images) if images else None  # (B, 3, H, W)
    return PixelBatch(shard, good, pixels.pin_memory() if pixels is not None and pin_memory else pixels, bad)


def _check_ids(rows: list[SourceRow], shard: str) -> None:
    if any(row.image_id is None for row in rows):
        raise ValueError(f"{shard}: image_id is null in a row; give each row an image_id, or leave the column out")
