"""A thread that runs the model on batches of the images that are waiting to be embedded."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch

from ...inference.forward import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ...embedding.image_encoder import ImageEncoder

_Waiting = tuple[torch.Tensor, "Future[np.ndarray]"]


class BatchWorker:
    """Embed images from several threads in one thread, in batches of those that are waiting.

    Args:
        encoder: The model. No other thread may use it while the worker runs.
        max_batch: Largest number of images in a batch.
        max_wait: Seconds that the first image of a batch waits for others.
        on_batch: Called with the number of images of each batch. Default: not called.
    """

    def __init__(
        self, encoder: ImageEncoder, *, max_batch: int, max_wait: float, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self._encoder, self._max_batch, self._max_wait = encoder, max_batch, max_wait
        self._on_batch = on_batch
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def submit(self, pixels: torch.Tensor) -> Future[np.ndarray]:
        """Queue an image to be embedded, unless its future is cancelled before its batch begins.

        Args:
            pixels: `(3, height, width)` uint8, from `ImageEncoder.pixels_of`.

        Returns:
            The future of the embedding, `(1, dim)` float32. Its error is a ValueError if the embedding is not finite,
            or an error of the model.
        """
        future: Future[np.ndarray] = Future()
        self._waiting.put((pixels, future))
        return future

    def close(self) -> None:
        """Embed the images that are waiting, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        with self._encoder.evaluating():
            while is_open:
                batch, is_open = self._take()
                # Marks the futures as running, so that they can no longer be cancelled, and drops cancelled ones.
                batch = [(pixels, future) for pixels, future in batch if future.set_running_or_notify_cancel()]
                if batch:
                    self._embed(batch)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for a batch of images, and return it together with whether more images may come."""
        batch: list[_Waiting] = []
        end = None
        while len(batch) < self._max_batch:
            try:
                item = self._waiting.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, False
            batch.append(item)
            end = end or time.monotonic() + self._max_wait
        return batch, True

    def _embed(self, batch: list[_Waiting]) -> None:
        if self._on_batch is not None:
            self._on_batch(len(batch))
        try:
            embeddings = self._encoder.encode(torch.stack([pixels for pixels, _ in batch])).cpu()  # (B, dim)
        except Exception as error:  # passed on to the requests of this batch, while the thread goes on
            for _, future in batch:
                future.set_exception(error)
            return
        for row, (_, future) in enumerate(batch):
            embedding = embeddings[row : row + 1]  # (1, dim)
            try:
                check_finite(embedding)
            except ValueError as error:
                future.set_exception(error)
            else:
                future.set_result(embedding.numpy())
