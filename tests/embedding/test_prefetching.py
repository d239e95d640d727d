"""Batches come in order, whatever the threads do, and never many of them are in memory."""

import threading
import time

import pytest
import torch

from hf_vitret.embedding.prefetching import BATCHES_AHEAD, prefetch_batches
from hf_vitret.embedding.sources.source import SourceRow, SourceShard


def shard(name, numbers, reads=None):
    def read():
        for number in numbers:
            if reads is not None:
                reads.append(number)
            yield SourceRow(
                None if number < 0 else str(number), f"{number}.png", {"bytes": b"", "path": f"/x/{number}"}
            )

    return SourceShard(name, "", read)


def pixels(row):
    return torch.full((3, 2, 2), int(row.image_id), dtype=torch.uint8)


def test_batches_of_several_shards_in_order_with_slow_and_bad_images():
    def read_pixels(row):
        number = int(row.image_id)
        time.sleep(0.003 * (number % 3))
        if number % 4 == 1:
            raise ValueError(f"cannot read /x/{number}")
        return pixels(row)

    shards = [(7, shard("a", range(5))), (8, shard("b", [])), (9, shard("c", range(5, 9))), (10, shard("d", [1, 5]))]
    batches = list(prefetch_batches(shards, read_pixels, batch_size=2, num_threads=4))
    assert [(batch.shard, [int(row.image_id) for row in batch.rows]) for batch in batches] == [
        (7, [0]),
        (7, [2, 3]),
        (7, [4]),
        (8, []),
        (9, [6]),
        (9, [7, 8]),
        (10, []),
    ]
    for batch in batches:
        values = [] if batch.pixels is None else batch.pixels[:, 0, 0, 0].tolist()
        assert values == [int(row.image_id) for row in batch.rows]
    bad = [(one.image_id, one.error) for batch in batches for one in batch.bad]
    assert bad == [(str(n), f"cannot read {n}.png") for n in (1, 5, 1, 5)]


def test_what_is_read_ahead_is_bounded():
    reads, decoded = [], []

    def read_pixels(row):
        decoded.append(row.image_id)
        return pixels(row)

    batches = prefetch_batches([(0, shard("a", range(200), reads))], read_pixels, batch_size=5, num_threads=2)
    next(batches)
    time.sleep(0.2)
    assert len(decoded) == len(reads) == 5 * (BATCHES_AHEAD + 1)
    batches.close()
    assert len(reads) == 5 * (BATCHES_AHEAD + 1)


def test_decoding_goes_on_while_the_model_works():
    """A decoder that waits for the next batch to be worked on would wait for ever if nothing ran ahead."""
    ahead = threading.Event()

    def read_pixels(row):
        if int(row.image_id) >= 4:
            ahead.set()
        return pixels(row)

    batches = prefetch_batches([(0, shard("a", range(8)))], read_pixels, batch_size=4, num_threads=1)
    next(batches)
    assert ahead.wait(timeout=10)
    batches.close()


@pytest.mark.parametrize(("numbers", "error"), [([0, 1, -1], "a: image_id is null in a row")])
def test_what_reading_raises_is_raised(numbers, error):
    with pytest.raises(ValueError, match=error):
        list(prefetch_batches([(0, shard("a", numbers))], pixels, batch_size=2, num_threads=1))


def test_what_is_no_matter_of_the_image_ends_it():
    def read_pixels(row):
        raise MemoryError("full")

    with pytest.raises(MemoryError, match="full"):
        list(prefetch_batches([(0, shard("a", range(20)))], read_pixels, batch_size=2, num_threads=1))
