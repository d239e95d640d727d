"""Collective operations between processes: gather, sum, maximum and broadcast; the only user of torch.distributed."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist


class _AllGather(torch.autograd.Function):
    """Concatenate the rows of all ranks; the gradient of a row is the sum of its gradients on all ranks.

    The loss of each rank is a mean over its own anchors, and DDP averages the gradients of the ranks. With this sum,
    and no further factor, the result is the gradient of the mean over the anchors of all ranks.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        ctx.num_rows = len(rows)
        return gather_rows(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)  # (W * B, D)
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.num_rows
        return total[start : start + ctx.num_rows]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Concatenate the rows of all ranks in the order of the ranks, without gradient.

    Args:
        rows: `(batch, ...)`, of the same shape on all ranks.

    Returns:
        `(world * batch, ...)`, the same on every rank.
    """
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def gather_batch(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gather the embeddings of a batch, with gradient, and its labels from all ranks.

    Args:
        embeddings: `(batch, dim)` float, the embeddings of this rank; equally many on each rank.
        labels: `(batch,)` int64, their labels.

    Returns:
        The embeddings of all ranks `(world * batch, dim)`, their labels `(world * batch,)` int64, and the row of each
        embedding of this rank among them, `(batch,)` int64.
    """
    num_rows = len(embeddings)
    self_index = dist.get_rank() * num_rows + torch.arange(num_rows, device=embeddings.device)  # (B,)
    gathered: torch.Tensor = _AllGather.apply(embeddings)
    return gathered, gather_rows(labels), self_index


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients of parameters by their mean over all ranks, in place.

    This is for parameters outside the model, whose gradients DDP does not average.

    Args:
        parameters: The same parameters on every rank; those without a gradient are left out.
    """
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def rank_and_world() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; 0 and 1 if there is no process group."""
    is_group = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if is_group else (0, 1)


def broadcast_rows(rows: torch.Tensor, source: int) -> torch.Tensor:
    """Copy the rows of one rank to all ranks, in place.

    Args:
        rows: A contiguous tensor of the same shape on all ranks, which is overwritten except on rank `source`.
        source: The rank whose rows are copied.

    Returns:
        `rows`.
    """
    dist.broadcast(rows, source)
    return rows


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all ranks, without gradient; a sum of integers is exact.

    Args:
        values: A tensor of the same shape on all ranks.

    Returns:
        The sum, of that shape, the same on every rank.
    """
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def max_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the elementwise maximum of a tensor over all ranks.

    Args:
        values: A tensor of the same shape on all ranks.

    Returns:
        The maximum, of that shape, the same on every rank.
    """
    largest = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def broadcast_parameters(module: torch.nn.Module) -> None:
    """Copy the parameters of a module from rank 0 to all ranks, in place, as DDP does for a model."""
    for parameter in module.parameters():
        dist.broadcast(parameter.detach(), 0)
