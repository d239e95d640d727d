"""Sums of the losses of a run, between two lines of the log and over the whole run."""

from collections.abc import Callable, Mapping

import torch

RUN = "run"
"""Prefix of the sums since the start of the run; the other sums are since the last line of the log."""


class LossLog:
    """Sum named losses on their device and compute their means for the log.

    The sums are part of a checkpoint. Trainer's own sums start at zero after a resume, so that its first line after a
    resume covers only the steps since then.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, terms: Mapping[str, torch.Tensor]) -> None:
        """Add the losses of one batch, scalars by name."""
        counted = {**terms, "count": torch.ones(())}
        for name, value in counted.items():
            for key in (name, f"{RUN}.{name}"):
                value = value.detach().float()
                # A first value is copied: safetensors refuses to save two sums that share their memory.
                self._sums[key] = self._sums[key] + value if key in self._sums else value.clone()

    def means(self, average: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Return the mean of each loss since the last call, and start a new sum.

        Args:
            average: A function that returns the mean of a tensor over all processes.

        Returns:
            The means by name; empty if no batch was added since the last call.
        """
        means = self._means({name: total for name, total in self._sums.items() if "." not in name}, average)
        self._sums = {name: total for name, total in self._sums.items() if "." in name}
        return means

    def run_mean(self, name: str, average: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
        """Return the mean of one loss over the whole run.

        Args:
            name: Name of the loss.
            average: A function that returns the mean of a tensor over all processes.

        Returns:
            The mean; `None` before the first batch.
        """
        sums = {key: self._sums[f"{RUN}.{key}"] for key in (name, "count") if f"{RUN}.{key}" in self._sums}
        return self._means(sums, average).get(name)

    @staticmethod
    def _means(sums: dict[str, torch.Tensor], average: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        count = sums.pop("count", None)
        return {} if count is None else {name: average(total / count).item() for name, total in sums.items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the sums of this process, float32 scalars by name."""
        return dict(self._sums)

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the sums that `state_dict` returned."""
        self._sums = dict(state)
