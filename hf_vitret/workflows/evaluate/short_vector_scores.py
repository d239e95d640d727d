"""What shorter vectors of a run's model score: on the embeddings of its last evaluation, at a bounded cost."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from ...evaluation.evaluator import RetrievalEvaluator
from ...evaluation.short_vectors.sweep import DIMS, short_vectors
from ...training.distributed.gathering import rank_and_world
from ...training.distributed.sharded_evaluation import ShardedEmbeddings, embed_shares
from .gathered_embeddings import all_rows

MAX_TRAIN = 10_000  # images that PCA is fitted on: 26 for each of a ViT-S's dimensions
MAX_PAIRS = 2**28  # scored for each cell of the table: 4,437 queries on Stanford Online Products
MAX_VALUES = 2**28  # of all embeddings, which one process holds here


def short_vector_scores(model: nn.Module, train: Dataset, embeddings: ShardedEmbeddings) -> dict[str, Any] | None:
    """Score vectors reduced by PCA in every precision; called on every process.

    PCA is fitted on the embeddings of up to `MAX_TRAIN` training images, and the queries are as many as `MAX_PAIRS`
    allows; both are drawn at random.

    Args:
        model: That of the last evaluation.
        train: Training images.
        embeddings: The last evaluation.

    Returns:
        The fields of `ShortVectors`; None where there are too few training images, or more test images than one
        process holds; and on all processes but the first.
    """
    evaluator, device = embeddings.evaluator, embeddings.device
    num_rows = len(evaluator.query) + (0 if evaluator.gallery is None else len(evaluator.gallery))
    width = embeddings.query.shape[1]
    sample = _drawn(len(train), MAX_TRAIN)
    dims = [dim for dim in (width, *DIMS) if dim <= min(width, len(sample) - 1)]
    if not dims or num_rows * width > MAX_VALUES:
        return None
    settings: dict[str, Any] = {"batch_size": evaluator.batch_size, "num_workers": evaluator.num_workers}
    images = RetrievalEvaluator(train.select(sample), dtype=evaluator.dtype, **settings)
    fitted_on = all_rows(embed_shares(model, images, device).query, len(sample), evaluator.batch_size, device)
    query = all_rows(embeddings.query, len(evaluator.query), evaluator.batch_size, device)
    gallery = query
    if embeddings.gallery is not None and evaluator.gallery is not None:
        gallery = all_rows(embeddings.gallery, len(evaluator.gallery), evaluator.batch_size, device)
    if rank_and_world()[0]:
        return None
    rows = torch.from_numpy(_drawn(len(query), max(1, MAX_PAIRS // len(gallery))))
    query_ids, gallery_ids = evaluator.shared_ids
    if evaluator.gallery is None:  # an image does not find itself, whatever ids the images have
        query_ids = gallery_ids = torch.arange(len(query))
    found = short_vectors(
        fitted_on,
        query[rows.to(device)],
        evaluator.query_labels[rows],
        gallery,
        evaluator.gallery_labels,
        query_ids=query_ids[rows],
        gallery_ids=gallery_ids,
        dims=dims,
        reductions=("pca",),
    )
    return asdict(found)


def _drawn(num_rows: int, limit: int) -> np.ndarray[Any, Any]:
    """Draw rows without repetition, ascending; all where there are no more."""
    return np.sort(np.random.default_rng(0).permutation(num_rows)[:limit])
