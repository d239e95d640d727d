"""Code that the metric scripts share: the texts of their help, and the scoring of the rows that `evaluate` passes."""

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
    embeddings: `(num_images, dim)` floats, an array or lists: one vector for each image, all of one length. They are
        scored by inner product; normalise them first for the cosine similarity. Pass a large set with `add_batch`, some
        thousand vectors at a time, because `evaluate` converts what it gets in one call to Python floats.
    labels: `(num_images,)` integers or strings, the class of each image.
    gallery_embeddings: `(num_gallery, dim)` floats, the vectors to search. None: every image is a query, and searches
        all the others.
    gallery_labels: `(num_gallery,)`, the classes of the gallery, of the same kind as `labels`.
    query_ids: `(num_images,)` integers or strings. A gallery image with the id of the query is left out of its list.
    gallery_ids: `(num_gallery,)`, of the same kind. Both or neither, and only with a gallery.
    ties: "pessimistic" (the default): a wrong image that ties with a right one, within 2e-6, ranks ahead of it.
        "expected": the value is its mean over all orders of the images that tie.
"""
COUNTS = """    num_queries: Number of queries.
    num_queries_without_positive: Number of queries without another image of their class; they are left out of the mean.
"""


def metric_info(description: str, citation: str, inputs_description: str) -> evaluate.MetricInfo:
    """Return the description of a metric of embeddings and labels, for `evaluate`."""
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
    # Arrays instead of lists of Python floats, which take 30 times the memory. MetricInfo refuses this format for
    # features that are lists, although `datasets` supports it for them.
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
    """Score rows that `evaluate` read back from Arrow.

    Args:
        embeddings: `(num_queries, dim)` floats, an array or lists.
        labels: `(num_queries,)` integers or strings.
        gallery_embeddings: `(num_gallery, dim)` floats, as the user passed them: an array, a tensor or lists.
        gallery_labels: `(num_gallery,)` integers or strings, as the user passed them.
        metrics: Names of metrics of `retrieval_metrics`.
        **options: Further arguments of `retrieval_metrics`: `query_ids`, `gallery_ids`, `ks` and `ties`.

    Returns:
        What `retrieval_metrics` returns.

    Raises:
        TypeError: Labels or ids are floats or of different kinds in queries and gallery.
        ValueError: The vectors have different lengths, a value is NaN or infinite, numbers of rows do not match, or an
            option is outside its domain.
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
