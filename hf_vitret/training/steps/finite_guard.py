"""A check that stops a run whose loss is NaN or infinite, and names the step, the images and the last checkpoint."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ...data.schema import name_some


class _Watched(NamedTuple):
    step: int
    rows: torch.Tensor
    finite: torch.Tensor
    copied: torch.Event | None


class FiniteGuard:
    """Check that the loss of each step is finite, without making the device wait.

    On a GPU the result of the check is copied to the CPU while the device continues, and is read when the next step
    begins. `check` is also called before a checkpoint is written, so that no checkpoint holds weights that were updated
    with a loss that is not finite.

    Args:
        image_ids: A function that returns the ids of rows of the training set.
        last_checkpoint: A function that returns the last complete checkpoint, or `None`.
    """

    def __init__(
        self, image_ids: Callable[[Sequence[int]], list[str]], last_checkpoint: Callable[[], str | None]
    ) -> None:
        self._image_ids = image_ids
        self._last_checkpoint = last_checkpoint
        self._watched: _Watched | None = None

    @torch.no_grad()
    def watch(self, step: int, rows: torch.Tensor, embeddings: torch.Tensor, loss: torch.Tensor) -> None:
        """Record whether a batch is finite, for the next `check`.

        Args:
            step: The optimiser step of the batch, counted from 1.
            rows: `(batch,)` int64, the rows of the batch's images in the training set.
            embeddings: `(batch, dim)` float, the embeddings of those images.
            loss: The loss of the batch, a scalar.
        """
        finite = torch.cat([embeddings.isfinite().all(dim=1), loss.isfinite().reshape(1)])  # (batch + 1,) bool
        copied = None
        if finite.device.type != "cpu":
            rows, finite = rows.to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True)
            copied = torch.Event(device=embeddings.device.type)
            copied.record()
        self._watched = _Watched(step, rows, finite, copied)

    def check(self) -> None:
        """Raise an error if the batch that was recorded last is not finite.

        Raises:
            FloatingPointError: The loss or an embedding is NaN or infinite. The message names the step, the images and
                the checkpoint to resume from.
        """
        watched, self._watched = self._watched, None
        if watched is None:
            return
        if watched.copied is not None:
            watched.copied.synchronize()
        if watched.finite.all():
            return
        broken = watched.rows[~watched.finite[:-1]].tolist()
        named = name_some(self._image_ids(broken or watched.rows.tolist()))
        cause = f"The embeddings of {named} are not finite" if broken else f"The embeddings, of {named}, are finite"
        checkpoint = self._last_checkpoint()
        remedy = (
            f"Resume from the last good checkpoint with --resume_from_checkpoint {checkpoint}"
            if checkpoint
            else "No checkpoint was written yet: start again"
        )
        raise FloatingPointError(
            f"expected a finite loss at step {watched.step}; got NaN or infinity. {cause}. {remedy}, with a lower "
            "learning rate, with bf16 instead of fp16, or without those images"
        )
