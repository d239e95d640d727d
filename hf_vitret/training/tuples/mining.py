"""Mining: embed the pool and the anchors of an epoch, each process its share, and find the hardest negatives."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ...evaluation.ranking.exact_scores import exact_device
from ...inference.embed import embed_images
from ..distributed.gathering import gather_rows, rank_and_world
from .hardest_negatives import hardest_negatives
from .sampler import TupleSampler

if TYPE_CHECKING:
    from datasets import Dataset


def mine_tuples(
    model: nn.Module,
    images: "Dataset",
    sampler: TupleSampler,
    epoch: int,
    *,
    device: torch.device,
    batch_size: int = 64,
    num_workers: int = 0,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Mine the negatives of an epoch's pairs with the model as it is now, in evaluation mode.

    All processes call it alike and get the same. An image that is anchor and candidate is embedded once.

    Args:
        model: A `ViTRetModel`. Its mode is restored.
        images: Column `image`, the rows that `sampler` draws.
        sampler: What draws pairs and pool.
        epoch: Whose tuples to mine.
        device: Through which embeddings travel between processes, and where they are scored if it is of CUDA.
        batch_size: Images embedded at once. It decides the last digits of an embedding, the processes do not.
        num_workers: Processes that decode images.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast.
        progress: Whether to show a bar, on the first process.

    Returns:
        `(num_tuples, 2 + num_negatives)` int64 rows: anchor, positive, negatives from the hardest on.

    Raises:
        ValueError: The pool has too few clusters; before any image is embedded.
    """
    draw = sampler.draw(epoch)
    anchors = draw.pairs[:, 0]  # (num_tuples,)
    rows, places = np.unique(np.concatenate([anchors, draw.pool]), return_inverse=True)
    rank, world = rank_and_world()
    per_process = -(-len(rows) // (batch_size * world)) * batch_size
    # Whole batches, filled up by the first rows again: the same batches on any number of processes, and equally many on
    # each, as sharded models need it.
    own = np.resize(rows, per_process * world)[rank * per_process : (rank + 1) * per_process]
    embeddings = embed_images(
        model,
        images.select(own),
        batch_size=batch_size,
        num_workers=num_workers,
        dtype=dtype,
        progress=progress and rank == 0,
        description=f"Mining epoch {epoch + 1}",
    )  # (per_process, dim)
    place = exact_device(device)
    gathered = embeddings if world == 1 else gather_rows(embeddings.to(device))  # (world * per_process, dim)
    drawn = gathered.to(place)[torch.from_numpy(places).to(place)]  # (num_tuples + pool_size, dim)
    clusters = torch.from_numpy(sampler.clusters)  # (N,)
    found = hardest_negatives(
        drawn[: len(anchors)],
        clusters[torch.from_numpy(anchors)],
        drawn[len(anchors) :],
        clusters[torch.from_numpy(draw.pool)],
        sampler.num_negatives,
    )  # (num_tuples, num_negatives)
    return np.concatenate([draw.pairs, draw.pool[found.cpu().numpy()]], axis=1)
