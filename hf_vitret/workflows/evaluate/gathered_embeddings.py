"""Embed an evaluation set with several processes: each embeds a share, and all of them get all embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...training.distributed.gathering import gather_rows, rank_and_world
from ...training.distributed.sharded_evaluation import Shares, embed_shares

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...evaluation.evaluator import RetrievalEvaluator


def gathered_embeddings(
    model: nn.Module, evaluator: RetrievalEvaluator, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Embed an evaluation set; every process must call it.

    The batches are those of a single process, and so are the embeddings.

    Args:
        model: A `ViTRetModel`.
        evaluator: The evaluation set.
        device: The device of the model, through which the processes exchange embeddings.

    Returns:
        Embeddings of the queries, `(num_queries, dim)` float32, and of the gallery, `(num_gallery, dim)` float32 or
        `None` without a gallery. They are on the CPU with one process, and on `device` with several.
    """
    if rank_and_world()[1] == 1:
        query = evaluator.embed(model, evaluator.query)
        return query, None if evaluator.gallery is None else evaluator.embed(model, evaluator.gallery)
    shares = embed_shares(model, evaluator, device)
    query = all_rows(shares.query, len(evaluator.query), evaluator.batch_size, device)
    if shares.gallery is None or evaluator.gallery is None:
        return query, None
    return query, all_rows(shares.gallery, len(evaluator.gallery), evaluator.batch_size, device)


def all_rows(share: torch.Tensor, num_rows: int, batch_size: int, device: torch.device) -> torch.Tensor:
    """Gather the rows of all processes on every process.

    Args:
        share: The rows of this process from `embed_shares`, `(num_own_rows, dim)` float32.
        num_rows: Number of rows of all processes together.
        batch_size: Number of images in a batch.
        device: The device through which the rows are exchanged.

    Returns:
        `(num_rows, dim)` float32 on the device.
    """
    world = rank_and_world()[1]
    if world == 1:
        return share.to(device)
    padded = share.new_zeros(Shares(num_rows, batch_size, world).num_batches * batch_size, share.shape[1])
    padded[: len(share)] = share  # only the last ranks have fewer rows, so the padding is at the end
    return gather_rows(padded.to(device))[:num_rows]
