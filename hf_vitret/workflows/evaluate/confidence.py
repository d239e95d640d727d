"""Confidence intervals of the scores before and after training, and of their paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from ...evaluation.reporting.bootstrap import bootstrap_interval, compare


def confidence(values: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, Any]:
    """Compute 95% bootstrap intervals of each evaluation, and of the last evaluation minus the first.

    The difference is paired: it is taken query by query, so that what is hard for both models cancels.

    Args:
        values: Title of an evaluation -> metric -> value of each query, `(num_queries,)`, with the queries in the
            same order in all evaluations. The metrics of an evaluation are empty if the values of its queries are not
            known. No evaluations are allowed.

    Returns:
        JSON values: `intervals`, the fields of `Interval` by title and metric; and `differences`, the fields of
        `Comparison` by metric, last evaluation minus first. Both are empty if no values are known.

    Raises:
        ValueError: The evaluations have different numbers of queries.

    Example:
        >>> found = confidence({"before": {"mrr": torch.tensor([1.0, 0.0] * 50)}, "after": {"mrr": torch.ones(100)}})
        >>> found["intervals"]["before"]["mrr"]["low"], found["differences"]["mrr"]["difference"]
        (0.4, 0.5)
    """
    if not values:
        return {"intervals": {}, "differences": {}}
    first, *_, last = values
    return {
        "intervals": {
            title: {name: asdict(bootstrap_interval(scores)) for name, scores in by_metric.items()}
            for title, by_metric in values.items()
            if by_metric
        },
        "differences": {name: asdict(compare(scores, values[first][name])) for name, scores in values[last].items()},
    }
