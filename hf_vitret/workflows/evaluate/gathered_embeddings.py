"""The embeddings of an evaluation set on every process, each of which embeds a share of the images."""

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
    """Embed an evaluation set; called on every process. The batches, and so the embeddings, are those of one process.

    Args:
        model: A `ViTRetModel`.
        evaluator: The evaluation set.
        device: Through which the processes exchange embeddings: that of the model.

    Returns:
        Embeddings of the queries, `(num_queries, dim)` float32, and of the gallery, `(num_gallery, dim)`, or `None`
        where there is no gallery: on the CPU of a single process, on `device` of several.
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
    """Give every process the rows of all.

    Args:
        share: This process's rows, as `embed_shares` gives them, `(num_own_rows, dim)` float32.
        num_rows: Rows of all processes together.
        batch_size: Images embedded at once.
        device: Through which they are exchanged.

    Returns:
        `(num_rows, dim)` float32 on the device.
    """
    world = rank_and_world()[1]
    if world == 1:
        return share.to(device)
    padded = share.new_zeros(Shares(num_rows, batch_size, world).num_batches * batch_size, share.shape[1])
    padded[: len(share)] = share  # each rank but the last ones has as many rows as this: none is out of its place
    return gather_rows(padded.to(device))[:num_rows]
