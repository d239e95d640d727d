"""What the scripts beside this file share: rows as `evaluate` hands them over, scored by this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hf_vitret.evaluation.metrics.retrieval import retrieval_metrics

if TYPE_CHECKING:
    import evaluate

INPUTS = """
Args:
    embeddings: One vector an image, all of one length, scored by inner product: normalise them first where the cosine
        is meant. `(num_images, dim)`, an array or lists. Large sets by `add_batch`, some thousand at a time: `evaluate`
        makes Python floats of what it is given at once.
    labels: One class an image, integers or strings.
    gallery_embeddings: What is searched, `(num_gallery, dim)`. None: every image queries all the others.
    gallery_labels: The classes of the gallery, of the same kind as `labels`.
    query_ids: One id an image, integers or strings. A gallery image with the id of the query is left out of its list.
    gallery_ids: The ids of the gallery. Both or neither, and only with a gallery.
    ties: "pessimistic": a wrong image that ties with a right one, within 2e-6, ranks ahead of it. "expected": the
        expected value over random order of what ties.
"""
COUNTS = """    num_queries: How many queries there were.
    num_queries_without_positive: Those of them that have nothing to find, and are left out of the mean.
"""


def metric_info(description: str, citation: str, inputs_description: str) -> evaluate.MetricInfo:
    """Describe a metric of embeddings and labels to `evaluate`."""
    import evaluate
    from datasets import Features, List, Value

    features = [Features({"embeddings": List(Value("float32")), "labels": Value(kind)}) for kind in ("int64", "string")]
    info = evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=inputs_description,
        features=features,
        homepage="https://arxiv.org/abs/2102.05644",
    )
    # Arrays in place of lists of Python floats, which take 30 times the memory. MetricInfo refuses the format for
    # features that are lists, though `datasets` has it for them.
    info.format = "numpy"
    return info


def score_rows(
    embeddings: Any,
    labels: Any,
    gallery_embeddings: Any = None,
    gallery_labels: Any = None,
    *,
    metrics: Sequence[str],
    **options: Any,
) -> dict[str, float | int]:
    """Score rows that were read back from Arrow.

    Args:
        embeddings: `(num_queries, dim)` floats.
        labels: `(num_queries,)`.
        gallery_embeddings: `(num_gallery, dim)` floats, as the user gave them.
        gallery_labels: `(num_gallery,)`, as the user gave them.
        metrics: As for `retrieval_metrics`.
        **options: As for `retrieval_metrics`.

    Returns:
        What `retrieval_metrics` returns.

    Raises:
        ValueError: The vectors have different lengths, or as for `retrieval_metrics`.
        TypeError: As for `retrieval_metrics`.
    """
    return retrieval_metrics(
        _matrix(embeddings, "embeddings"),
        labels,
        None if gallery_embeddings is None else _matrix(gallery_embeddings, "gallery_embeddings"),
        gallery_labels,
        metrics=metrics,
        **options,
    )


def _matrix(rows: Any, name: str) -> torch.Tensor:
    """Return vectors as `(num_rows, dim)` float32."""
    if isinstance(rows, torch.Tensor):
        return rows.float()
    if not (isinstance(rows, np.ndarray) and rows.dtype != object):
        lengths = {len(row) for row in rows}
        if len(lengths) > 1:
            raise ValueError(f"{name} must all have one length, got {sorted(lengths)}. Embed them with the same model.")
        rows = np.stack([np.asarray(row, dtype=np.float32) for row in rows])
    return torch.tensor(rows, dtype=torch.float32)
