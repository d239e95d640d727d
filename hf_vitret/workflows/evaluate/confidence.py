"""How sure the scores of a run are: what each query scored, before and after, and what that says of the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from ...evaluation.reporting.bootstrap import bootstrap_interval, compare


def confidence(values: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, Any]:
    """Draw the 95% intervals of the evaluations of a run, and of the difference of the last and the first.

    The difference is taken query by query: what is hard for both cancels.

    Args:
        values: For the title of each evaluation what each query scored, `(num_queries,)` for each metric, the
            queries in the same order; empty where that is not known. No evaluation at all: nothing is measured.

    Returns:
        JSON values: `intervals`, for each title the fields of `Interval` by metric; and `differences`, those of
        `Comparison`, last less first. Both are empty where nothing is known.

    Raises:
        ValueError: The evaluations are not of the same queries.

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
