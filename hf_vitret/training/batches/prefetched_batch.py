"""A batch that threads make while the model works on the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import torch

Example = dict[str, Any]


class PrefetchedBatch(Mapping[str, torch.Tensor]):
    """A batch whose examples threads are still making. It looks like any other, and is waited for when it is read.

    accelerate's loader takes each batch from its source one step before it moves it to the device and hands it out. So
    the threads have the time of a whole step, and the model waits for what is left by then.

    Args:
        examples: As for `stack`, to be made.
    """

    def __init__(self, examples: Sequence[Future[Example]]) -> None:
        self._examples = examples

    @cached_property
    def _batch(self) -> dict[str, torch.Tensor]:
        return stack([example.result() for example in self._examples])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> dict[str, torch.Tensor]:
        """Return the batch on a device.

        Raises:
            Exception: What a thread met with, such as the `ValueError` of an image that cannot be read.
        """
        return {name: values.to(device, non_blocking=non_blocking) for name, values in self._batch.items()}

    def pin_memory(self) -> PrefetchedBatch:
        """Return the batch as it is: to copy it would be to wait for it."""
        return self

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return one part of the batch."""
        return self._batch[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of its parts."""
        return iter(self._batch)

    def __len__(self) -> int:
        """Count its parts."""
        return len(self._batch)


def stack(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Stack examples: their `pixel_values` uint8 or `pooled` float32, `labels` and `rows` `(batch,)` int64."""
    (inputs,) = [name for name in ("pixel_values", "pooled") if name in examples[0]]
    if inputs == "pixel_values":  # in the order in which a decoder writes: a copy of whole rows
        values = torch.stack([example[inputs].permute(1, 2, 0) for example in examples]).permute(0, 3, 1, 2)
    else:
        values = torch.stack([example[inputs] for example in examples])
    return {
        inputs: values,
        "labels": torch.tensor([example["labels"] for example in examples], dtype=torch.int64),
        "rows": torch.tensor([example["rows"] for example in examples], dtype=torch.int64),
    }
