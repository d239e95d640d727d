"""Rows of all ranks, gathered: the only file that knows torch.distributed."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist


class _AllGather(torch.autograd.Function):
    """Concatenate the ranks' rows; the gradient of a row is the sum of what every rank asks of it.

    With each rank's loss a mean over its own anchors, and DDP averaging the ranks' gradients, this sum (with no
    further factor) is the gradient of the mean over the anchors of all ranks.
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
    """Concatenate equally many rows of each rank, in the order of the ranks, without gradient.

    Args:
        rows: `(batch, ...)`, of one shape on all ranks.

    Returns:
        `(world * batch, ...)`, the same on every rank.
    """
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def gather_batch(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gather a batch's embeddings, with gradient, and its labels from all ranks.

    Args:
        embeddings: `(batch, dim)`, equally many on each rank.
        labels: `(batch,)` int64.

    Returns:
        Embeddings `(world * batch, dim)`, labels `(world * batch,)`, and for each own row its place among them,
        `(batch,)` int64.
    """
    num_rows = len(embeddings)
    self_index = dist.get_rank() * num_rows + torch.arange(num_rows, device=embeddings.device)  # (B,)
    gathered: torch.Tensor = _AllGather.apply(embeddings)
    return gathered, gather_rows(labels), self_index


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients of parameters that DDP does not know by their mean over all ranks, in place.

    Args:
        parameters: The same on every rank, with a gradient or without.
    """
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and the number of processes; 0 and 1 where there is no process group."""
    is_group = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if is_group else (0, 1)


def broadcast_rows(rows: torch.Tensor, source: int) -> torch.Tensor:
    """Give every rank the rows of one: a contiguous buffer of their shape, overwritten except on rank `source`."""
    dist.broadcast(rows, source)
    return rows


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Add a tensor of one shape over all ranks, without gradient; in int64 the sum is exact."""
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def max_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the largest of the ranks' values, entry by entry, of a tensor of one shape on all ranks."""
    largest = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def broadcast_parameters(module: torch.nn.Module) -> None:
    """Give every rank the parameters that rank 0 drew, in place, as DDP does with a model's."""
    for parameter in module.parameters():
        dist.broadcast(parameter.detach(), 0)
