"""MAP@R of image retrieval, for `evaluate.load`."""

from typing import Any

import evaluate

from hf_vitret.evaluation.modules.rows import COUNTS, INPUTS, metric_info, score_rows

_DESCRIPTION = """
MAP@R: for each query with R images of its class to find, the sum of the precisions at those among the first R results,
divided by R; then the mean over the queries. Unlike recall@1, it depends on the ranks of all images of the class.
Without a gallery every image is a query and searches all the others (leave-one-out). The search and the handling of
ties are exact.
"""

_CITATION = """
@inproceedings{musgrave2020metric,
    title = {A Metric Learning Reality Check},
    author = {Musgrave, Kevin and Belongie, Serge and Lim, Ser-Nam},
    booktitle = {ECCV},
    year = {2020}
}
"""

_INPUTS = f"""{INPUTS}
Returns:
    mean_average_precision_at_r: MAP@R in [0, 1]; nan if no query has another image of its class.
{COUNTS}
Examples:
    >>> import evaluate
    >>> from hf_vitret.evaluation.modules import evaluate_module
    >>> map_at_r = evaluate.load(evaluate_module("mean_average_precision_at_r"))
    >>> embeddings = [[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> map_at_r.compute(embeddings=embeddings, labels=[7, 7, 7, 8, 9])
    {{'mean_average_precision_at_r': 0.75, 'num_queries': 5, 'num_queries_without_positive': 2}}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class MeanAveragePrecisionAtR(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """MAP@R."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(_DESCRIPTION, _CITATION, _INPUTS)

    def _compute(self, *, embeddings: Any, labels: Any, **options: Any) -> dict[str, float | int]:
        metrics = score_rows(embeddings, labels, metrics=["map_at_r"], **options)
        return {"mean_average_precision_at_r": metrics.pop("map_at_r"), **metrics}
