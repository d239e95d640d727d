"""Mining of an epoch's tuples: embed anchors and pool with the current model, and find the hardest negatives."""

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
    """Mine the negatives of an epoch's pairs with the current model in evaluation mode.

    All processes call it together and get the same tuples. Each embeds a share of the images. An image that is both an
    anchor and in the pool is embedded once.

    Args:
        model: A `ViTRetModel`. Its mode (train or eval) is restored at the end.
        images: A data set with the column `image`, whose rows `sampler` draws.
        sampler: The sampler that draws pairs and pool.
        epoch: The epoch whose tuples to mine, counted from 0.
        device: The device to exchange embeddings through. They are scored on it if it is a CUDA device, and otherwise
            on the CPU.
        batch_size: Number of images embedded at once. The last digits of an embedding depend on it, but not on the
            number of processes.
        num_workers: Number of processes that decode images; 0 decodes them in this process.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast; `None` embeds in the type of the weights.
        progress: Whether to show a progress bar on the first process.

    Returns:
        `(num_tuples, 2 + num_negatives)` int64 rows of the data set: anchor, positive, and negatives, hardest first.

    Raises:
        ValueError: The pool has too few clusters. This is checked before any image is embedded.
    """
    draw = sampler.draw(epoch)
    anchors = draw.pairs[:, 0]  # (num_tuples,)
    rows, positions = np.unique(np.concatenate([anchors, draw.pool]), return_inverse=True)
    rank, world = rank_and_world()
    per_process = -(-len(rows) // (batch_size * world)) * batch_size
    # Whole batches, filled up with the first rows: the same batches with any number of processes, and equally many on
    # each process, as sharded models need it.
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
    scoring_device = exact_device(device)
    gathered = embeddings if world == 1 else gather_rows(embeddings.to(device))  # (world * per_process, dim)
    drawn = gathered.to(scoring_device)[torch.from_numpy(positions).to(scoring_device)]  # (num_tuples + pool_size, dim)
    clusters = torch.from_numpy(sampler.clusters)  # (N,)
    found = hardest_negatives(
        drawn[: len(anchors)],
        clusters[torch.from_numpy(anchors)],
        drawn[len(anchors) :],
        clusters[torch.from_numpy(draw.pool)],
        sampler.num_negatives,
    )  # (num_tuples, num_negatives)
    return np.concatenate([draw.pairs, draw.pool[found.cpu().numpy()]], axis=1)
