"""Images that wait at the same time are embedded in one batch, with the embeddings that each has alone."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from hf_vitret.embedding.image_encoder import ImageEncoder
from hf_vitret.workflows.serving.batch_worker import BatchWorker
from tests.training.tiny_backbones import tiny

from .small_server import photo


@contextmanager
def worker(encoder: ImageEncoder, max_batch: int = 4, max_wait: float = 5.0) -> Iterator[tuple[BatchWorker, list[int]]]:
    sizes: list[int] = []
    made = BatchWorker(encoder, max_batch=max_batch, max_wait=max_wait, on_batch=sizes.append)
    made.start()
    try:
        yield made, sizes
    finally:
        made.close()
        assert not made.is_running


@pytest.fixture
def encoder() -> ImageEncoder:
    return ImageEncoder(tiny(embedding_dim=6), dtype="float32")


def pixels_of(encoder: ImageEncoder, number: int) -> list[torch.Tensor]:
    return [encoder.pixels_of(photo(each)) for each in range(number)]


def test_each_embedding_is_that_of_the_image_alone(encoder: ImageEncoder) -> None:
    pixels = pixels_of(encoder, 10)
    with encoder.evaluating():
        alone = torch.cat([encoder.encode(each[None]) for each in pixels])
    with worker(encoder, max_wait=0.2) as (made, sizes):
        found = [future.result(30) for future in [made.submit(each) for each in pixels]]
    np.testing.assert_allclose(np.concatenate(found), alone.numpy(), atol=1e-6)
    assert sizes == [4, 4, 2]


def test_a_single_image_waits_no_longer_than_it_may(encoder: ImageEncoder) -> None:
    with worker(encoder, max_wait=0.0) as (made, sizes):
        for pixels in pixels_of(encoder, 3):
            made.submit(pixels).result(30)
    assert sizes == [1, 1, 1]


def test_what_waits_at_the_end_is_still_embedded(encoder: ImageEncoder) -> None:
    with worker(encoder) as (made, sizes):
        futures = [made.submit(pixels) for pixels in pixels_of(encoder, 6)]
    assert all(future.done() and future.result().shape == (1, 6) for future in futures)
    assert sizes == [4, 2]


def test_what_was_given_up_is_not_embedded(encoder: ImageEncoder) -> None:
    made = BatchWorker(encoder, max_batch=8, max_wait=0.0, on_batch=(sizes := []).append)
    first, second = [made.submit(pixels) for pixels in pixels_of(encoder, 2)]
    assert first.cancel()
    made.start()
    made.close()
    assert second.result().shape == (1, 6)
    assert sizes == [1]
    with pytest.raises(CancelledError):
        first.result()


def test_a_failure_is_raised_by_its_own_futures_and_the_thread_goes_on(
    encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = encoder.encode
    black = torch.zeros(3, 32, 32, dtype=torch.uint8)

    def failing(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 2:
            raise RuntimeError("out of memory")
        embeddings = encode(pixels).clone()
        embeddings[(pixels == 0).flatten(1).all(1)] = torch.nan
        return embeddings

    monkeypatch.setattr(encoder, "encode", failing)
    with worker(encoder, max_batch=3, max_wait=0.2) as (made, _):
        for future in [made.submit(black) for _ in range(3)]:
            with pytest.raises(RuntimeError, match="out of memory"):
                future.result(30)
        bad, good = made.submit(black), made.submit(encoder.pixels_of(photo(1)))
        with pytest.raises(ValueError, match="expected finite embeddings"):
            bad.result(30)
        assert good.result(30).shape == (1, 6)
