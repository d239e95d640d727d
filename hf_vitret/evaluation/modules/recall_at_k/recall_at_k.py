"""Recall@k of image retrieval, for `evaluate.load`."""

from typing import Any

import evaluate

from hf_vitret.evaluation.modules.rows import COUNTS, INPUTS, metric_info, score_rows

_DESCRIPTION = """
Recall@k as in the metric-learning literature: the share of queries with at least one image of their class among the k
nearest images. Other libraries call it accuracy@k or hit rate, and use recall@k for another quantity. Without a gallery
every image is a query and searches all the others (leave-one-out). The search and the handling of ties are exact.
"""

_CITATION = """
@inproceedings{song2016deep,
    title = {Deep Metric Learning via Lifted Structured Feature Embedding},
    author = {Oh Song, Hyun and Xiang, Yu and Jegelka, Stefanie and Savarese, Silvio},
    booktitle = {CVPR},
    year = {2016}
}
"""

_INPUTS = f"""{INPUTS}    ks: The cut-offs k, each at least 1; by default 1, 10, 100 and 1000.

Returns:
    recall_at_<k>: For each k, the recall in [0, 1]; nan if no query has another image of its class.
{COUNTS}
Examples:
    >>> import evaluate
    >>> from hf_vitret.evaluation.modules import evaluate_module
    >>> recall = evaluate.load(evaluate_module("recall_at_k"))
    >>> embeddings = [[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> results = recall.compute(embeddings=embeddings, labels=[7, 7, 7, 8, 9], ks=[1, 2])
    >>> print({{name: round(value, 4) for name, value in results.items()}})
    {{'recall_at_1': 0.6667, 'recall_at_2': 1.0, 'num_queries': 5, 'num_queries_without_positive': 2}}
    >>> gallery = {{"gallery_embeddings": [[0.0, 1.0], [0.8, 0.6]], "gallery_labels": ["cup", "mug"]}}
    >>> recall.compute(embeddings=[[1.0, 0.0]], labels=["cup"], ks=[1], **gallery)["recall_at_1"]
    0.0
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class RecallAtK(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """Recall@k."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(_DESCRIPTION, _CITATION, _INPUTS)

    def _compute(self, *, embeddings: Any, labels: Any, **options: Any) -> dict[str, float | int]:
        return score_rows(embeddings, labels, metrics=["recall_at_k"], **options)
