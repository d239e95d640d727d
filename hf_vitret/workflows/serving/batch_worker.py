"""One thread that runs the model: images that wait at the same time are embedded together."""

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
    """Embeds images as they come, several a step where several wait.

    Args:
        encoder: The model. No other thread uses it meanwhile.
        max_batch: Images a step.
        max_wait: Seconds that the first image of a step waits for others.
        on_batch: Called with the number of images of each step.
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
        """Whether it answers."""
        return self._thread.is_alive()

    def submit(self, pixels: torch.Tensor) -> Future[np.ndarray]:
        """Embed an image in one of the next steps, unless its future is cancelled by then.

        Args:
            pixels: `(3, height, width)` uint8, as `ImageEncoder.pixels_of` gives them.

        Returns:
            Of `(1, dim)` float32. It raises ValueError where the embedding is not finite, or whatever the model raises.
        """
        future: Future[np.ndarray] = Future()
        self._waiting.put((pixels, future))
        return future

    def close(self) -> None:
        """Embed what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        with self._encoder.evaluating():
            while is_open:
                batch, is_open = self._take()
                # From here on it is too late to cancel.
                batch = [(pixels, future) for pixels, future in batch if future.set_running_or_notify_cancel()]
                if batch:
                    self._embed(batch)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for images; return them, and whether more may come."""
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
        except Exception as error:  # the thread lives on; who waits for these images is told
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
