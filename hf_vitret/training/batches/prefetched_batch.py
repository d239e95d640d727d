"""A batch whose images threads read and augment while the model computes on the batch before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import torch

Example = dict[str, Any]


class PrefetchedBatch(Mapping[str, torch.Tensor]):
    """A batch, as a mapping of tensors, whose examples are still being read by threads.

    Reading any part of it waits until all examples are there. accelerate's loader takes each batch from its source one
    step before it moves the batch to the device and returns it. The threads therefore have the time of a whole step,
    and the model waits only for what is not finished by then.

    Args:
        examples: Futures of the examples, each a dictionary with `pixel_values` or `pooled`, `labels` and `rows`.
    """

    def __init__(self, examples: Sequence[Future[Example]]) -> None:
        self._examples = examples

    @cached_property
    def _batch(self) -> dict[str, torch.Tensor]:
        return stack([example.result() for example in self._examples])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> dict[str, torch.Tensor]:
        """Return the batch on a device.

        Args:
            device: The device to copy the tensors to.
            non_blocking: Whether a copy from pinned memory may go on while the program continues.

        Returns:
            The tensors of the batch by name.

        Raises:
            Exception: The error of the thread that failed, such as the `ValueError` of an image that cannot be read.
        """
        return {name: values.to(device, non_blocking=non_blocking) for name, values in self._batch.items()}

    def pin_memory(self) -> PrefetchedBatch:
        """Return the batch unchanged, because copying it to pinned memory would wait for the threads."""
        return self

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return one tensor of the batch by its name."""
        return self._batch[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the tensors."""
        return iter(self._batch)

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self._batch)


def stack(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Stack examples into a batch.

    Args:
        examples: One dictionary for each image, with `pixel_values` `(3, height, width)` uint8 or `pooled` `(width,)`
            float32, and the integers `labels` and `rows`.

    Returns:
        `pixel_values` `(batch, 3, height, width)` uint8 or `pooled` `(batch, width)` float32, and `labels` and `rows`,
        both `(batch,)` int64.
    """
    (inputs,) = [name for name in ("pixel_values", "pooled") if name in examples[0]]
    if inputs == "pixel_values":  # stacked channels-last, as decoders write them, so that whole rows are copied
        values = torch.stack([example[inputs].permute(1, 2, 0) for example in examples]).permute(0, 3, 1, 2)
    else:
        values = torch.stack([example[inputs] for example in examples])
    return {
        inputs: values,
        "labels": torch.tensor([example["labels"] for example in examples], dtype=torch.int64),
        "rows": torch.tensor([example["rows"] for example in examples], dtype=torch.int64),
    }
