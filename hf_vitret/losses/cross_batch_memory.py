"""The cross-batch memory: a ring buffer of the last embeddings and labels, which new batches are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .references import check_rows


class CrossBatchMemory(nn.Module):
    """Keep the last ``memory_size`` embeddings and labels; new ones replace the oldest.

    All state is in registered buffers, so ``state_dict`` restores it exactly, even when the next batch will wrap around
    the end. The number of filled rows is counted, never inferred from label values: 0 is an ordinary label. Embeddings
    stay float32 even if the module is cast (``half()``, ``to(torch.bfloat16)``): a cast would save 45 MB at 59,551 x
    384, and the loss would compare anchors with rounded copies.

    Args:
        memory_size: number of rows, at least 1. The paper uses the size of the training set, or a fifth of it.
        embedding_dim: length of a row, at least 1.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> memory = CrossBatchMemory(memory_size=3, embedding_dim=2)
        >>> memory.enqueue(torch.eye(2), torch.tensor([7, 8]))
        tensor([0, 1])
        >>> memory.enqueue(torch.eye(2), torch.tensor([9, 0]))
        tensor([2, 0])
        >>> memory.contents()[1]
        tensor([0, 8, 9])

    Reference:
        Wang et al., "Cross-Batch Memory for Embedding Learning", arXiv 1912.06798. Deviation from the official code: a
        batch that reaches the end continues at row 0. The official code overwrites the last rows instead and starts the
        next batch at row 0, so that new rows are replaced before old ones.
    """

    embeddings: Tensor
    labels: Tensor
    pointer: Tensor
    count: Tensor

    def __init__(self, memory_size: int, embedding_dim: int) -> None:
        super().__init__()
        if memory_size < 1:
            raise ValueError(
                f"Expected memory_size of at least 1, got {memory_size}; to train without a memory use "
                "RetrievalLoss(memory_size=0), or build no CrossBatchMemory."
            )
        if embedding_dim < 1:
            raise ValueError(f"Expected embedding_dim of at least 1, got {embedding_dim}; use that of the model.")
        self.memory_size = int(memory_size)
        self.embedding_dim = int(embedding_dim)
        self.register_buffer("embeddings", torch.zeros(memory_size, embedding_dim, dtype=torch.float32))
        self.register_buffer("labels", torch.zeros(memory_size, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        # Python copies of the two buffers: to read a buffer, the host would wait for the device at every step.
        self._pointer = 0
        self._count = 0

    def __len__(self) -> int:
        """Return the number of filled rows."""
        return self._count

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Write a batch over the oldest rows.

        A row that is not finite is stored as zeros, whose gradient is zero. Stored as it is, one overflow under mixed
        precision would make every loss not finite until the row is replaced. (The loss of the step itself still shows
        the overflow.)

        Args:
            embeddings: ``(batch, embedding_dim)`` float of any precision, stored detached as float32.
            labels: ``(batch,)`` integer, any value.

        Returns:
            ``(batch,)`` int64, the rows of the memory that were written.

        Raises:
            ValueError: if the batch is larger than the memory, or shapes or devices do not fit.
            TypeError: if embeddings are not floating point or labels are not integers.
        """
        labels = check_rows(embeddings, labels)
        batch = len(embeddings)
        if embeddings.shape[1] != self.embedding_dim:
            raise ValueError(
                f"Expected embeddings of dimension {self.embedding_dim}, the memory's embedding_dim, got "
                f"{embeddings.shape[1]}; build the memory with embedding_dim={embeddings.shape[1]}."
            )
        if batch > self.memory_size:
            raise ValueError(
                f"Expected at most {self.memory_size} rows, the memory_size, got a batch of {batch}; "
                "raise memory_size to the batch of all processes together or more."
            )
        if embeddings.device != self.embeddings.device:
            raise ValueError(
                f"Expected embeddings on {self.embeddings.device}, where the memory is, got "
                f"{embeddings.device}; move the loss with .to(device)."
            )
        slots = (torch.arange(batch, device=embeddings.device) + self._pointer) % self.memory_size  # (batch,)
        rows = embeddings.float()  # (batch, embedding_dim)
        rows = torch.where(rows.isfinite().all(dim=1, keepdim=True), rows, 0.0)
        self.embeddings.index_copy_(0, slots, rows)
        self.labels.index_copy_(0, slots, labels)
        self._pointer = (self._pointer + batch) % self.memory_size
        self._count = min(self._count + batch, self.memory_size)
        self.pointer.fill_(self._pointer)
        self.count.fill_(self._count)
        return slots

    def contents(self) -> tuple[Tensor, Tensor]:
        """Return views of the filled rows, not copies: the next ``enqueue`` overwrites parts of them.

        Returns:
            ``(count, embedding_dim)`` float32 embeddings and ``(count,)`` int64 labels, in the order of the memory's
            rows, not of time.
        """
        return self.embeddings[: self._count], self.labels[: self._count]

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        return f"memory_size={self.memory_size}, embedding_dim={self.embedding_dim}, filled={self._count}"

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._pointer, self._count = int(self.pointer), int(self.count)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CrossBatchMemory:
        exact = self.embeddings
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.embeddings.dtype != exact.dtype:
            self.embeddings = exact.to(self.embeddings.device)
        return self
