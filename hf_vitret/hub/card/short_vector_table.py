"""The card's tables of R@1 with shortened embeddings, by dimension and numeric precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..score_table import in_percent

_NAMES = {
    "pca": "PCA",
    "pca_whitened": "Whitened PCA",
    "first_d": "The first dimensions",
    "binary_rescored": "binary, rescored",
}


def short_vector_tables(short_vectors: Mapping[str, Any] | None) -> dict[str, list[list[str]]]:
    """Lay out one table for each way to reduce the dimension.

    Args:
        short_vectors: `dataclasses.asdict` of a `hf_vitret.evaluation.short_vectors.table.ShortVectors`, as in
            `results.json`; `None` if the run did not measure them.

    Returns:
        Name of the reduction -> rows of cells, the header first. A cell holds R@1 in percent and the bytes of one
        stored vector, or a dash if the combination was not measured.

    Example:
        >>> score = {"dim": 64, "reduction": "pca", "precision": "int8", "bytes_per_vector": 64, "recall_at_1": 0.75}
        >>> short_vector_tables({"scores": [score, score | {"dim": 16, "bytes_per_vector": 16, "recall_at_1": 0.5}]})
        {'PCA': [['dimensions', 'int8'], ['64', '75.0 (64 B)'], ['16', '50.0 (16 B)']]}
    """
    scores = short_vectors["scores"] if short_vectors else []
    if not scores:
        return {}
    dims, precisions = (list(dict.fromkeys(score[name] for score in scores)) for name in ("dim", "precision"))
    # The smallest dimension has all reductions: one that could not be fitted had too many dimensions.
    reductions = list(dict.fromkeys(score["reduction"] for score in scores if score["dim"] == dims[-1]))
    cells = {
        (score["reduction"], score["dim"], score["precision"]): (
            f"{in_percent(score['recall_at_1'])} ({score['bytes_per_vector']:,} B)"
        )
        for score in scores
    }
    return {
        _NAMES.get(reduction, reduction): [
            ["dimensions", *(_NAMES.get(each, each) for each in precisions)],
            *([f"{dim:,}", *(cells.get((reduction, dim, each), "-") for each in precisions)] for dim in dims),
        ]
        for reduction in reductions
    }
