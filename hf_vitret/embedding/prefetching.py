"""Batches of pixels that threads read, decode and stack while the model works on those before."""

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

BATCHES_AHEAD = 3  # one is decoded, one is stacked or waits, one is being read


@dataclass(frozen=True)
class BadImage:
    """An image that could not be read.

    Attributes:
        image_id: Its name.
        path: Where it is, relative to the source's top.
        error: What was wrong.
    """

    image_id: str
    path: str
    error: str


@dataclass(frozen=True)
class PixelBatch:
    """Rows of one shard of a source, decoded.

    Attributes:
        shard: Number of the shard.
        rows: Those whose images could be read.
        pixels: `(len(rows), 3, height, width)` uint8; `None` where no image could be read.
        bad: The others.
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
    """Yield the batches of all shards, in order. A batch is of one shard, and of the same rows in every run.

    Args:
        shards: Number and content; the next one is begun while the last batches of one are still used.
        read_pixels: Decodes the image of a row; raises `ValueError` where it cannot be read. Threads call it.
        batch_size: Rows of a shard in one batch: only its last has fewer. Bad ones are then taken out, and not made
            up for. A shard without rows gives one empty batch.
        num_threads: That decode; default: one per CPU, 16 at most. One more reads, and one stacks.
        pin_memory: Whether the pixels are put where an accelerator can fetch them by itself.

    Raises:
        Exception: What reading a shard raises.
    """

    def decode(row: SourceRow) -> Decoded:
        try:
            return read_pixels(row)
        except ValueError as error:
            place = (row.stored or {}).get("path")  # on this machine, which is nobody else's business
            reason = str(error).replace(place, row.path) if place else str(error)
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
        window = next(upcoming, None)  # a stream of rows is read by one thread, one row after the other
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
