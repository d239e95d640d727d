"""Stop a run whose loss is no number, and say where, on which images, and what to go back to."""

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
    """Check each step's loss without holding up the device.

    On a GPU the answer is copied aside while the device works on, and read when the next step begins. `check` is
    called before anything is written too, so no checkpoint ever holds weights that a broken loss has touched.

    Args:
        image_ids: Gives the ids of rows of the training set.
        last_checkpoint: Gives the last whole checkpoint, or `None`.
    """

    def __init__(
        self, image_ids: Callable[[Sequence[int]], list[str]], last_checkpoint: Callable[[], str | None]
    ) -> None:
        self._image_ids = image_ids
        self._last_checkpoint = last_checkpoint
        self._watched: _Watched | None = None

    @torch.no_grad()
    def watch(self, step: int, rows: torch.Tensor, embeddings: torch.Tensor, loss: torch.Tensor) -> None:
        """Note a batch for `check`.

        Args:
            step: The optimiser step it belongs to, from 1.
            rows: `(batch,)` int64 rows of the training set.
            embeddings: `(batch, dim)`, of those rows.
            loss: Scalar.
        """
        finite = torch.cat([embeddings.isfinite().all(dim=1), loss.isfinite().reshape(1)])  # (batch + 1,) bool
        copied = None
        if finite.device.type != "cpu":
            rows, finite = rows.to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True)
            copied = torch.Event(device=embeddings.device.type)
            copied.record()
        self._watched = _Watched(step, rows, finite, copied)

    def check(self) -> None:
        """Raise if the batch watched last was not finite.

        Raises:
            FloatingPointError: It was not; names the step, the images and the checkpoint to go back to.
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
        blame = f"the embeddings of {named} are not" if broken else f"with finite embeddings, of {named}"
        checkpoint = self._last_checkpoint()
        back = (
            f"The last good checkpoint is {checkpoint}: go on from it with --resume_from_checkpoint {checkpoint}"
            if checkpoint
            else "No checkpoint was written yet: start again"
        )
        raise FloatingPointError(
            f"expected a finite loss at step {watched.step}; got NaN or infinity, and {blame}. {back}, with a lower "
            "learning rate, with bf16 in place of fp16, or without those images"
        )
