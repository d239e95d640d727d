"""Score short vectors of a fine-tuned model on the embeddings of its last evaluation, at a bounded cost."""

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

MAX_TRAIN = 10_000  # images that PCA is fitted on: 26 for each dimension of a ViT-S
MAX_PAIRS = 2**28  # pairs scored for each cell of the table: 4,437 queries on Stanford Online Products
MAX_VALUES = 2**28  # values of all embeddings, which a single process holds


def short_vector_scores(model: nn.Module, train: Dataset, embeddings: ShardedEmbeddings) -> dict[str, Any] | None:
    """Score vectors that PCA reduces, in every precision; every process must call it.

    PCA is fitted on the embeddings of at most `MAX_TRAIN` training images, and at most `MAX_PAIRS` pairs of a query and
    a gallery image are scored. The training images and the queries are samples drawn with a fixed seed.

    Args:
        model: The model of the last evaluation.
        train: The training images.
        embeddings: The embeddings of the last evaluation.

    Returns:
        The fields of `ShortVectors` on the first process. `None` on the others, if there are too few training images
        for PCA, or if the embeddings have more than `MAX_VALUES` values.
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
    if evaluator.gallery is None:  # an image must not find itself, even if images share ids
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
    """Draw at most `limit` distinct row numbers with a fixed seed, in ascending order."""
    return np.sort(np.random.default_rng(0).permutation(num_rows)[:limit])
