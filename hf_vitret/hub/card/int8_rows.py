"""Rows of the card's table of scores for an 8-bit ONNX graph of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..score_table import in_percent, metric_names


def int8_rows(results: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Format the scores of the 8-bit graph and their differences from the model, as rows to follow `score_rows`.

    Args:
        results: The content of the run's `results.json`. `results["int8"]` is what `score_change` returned (graph
            minus model), as dictionaries. It is missing if the graph was not evaluated.

    Returns:
        Title of a row -> name of a metric -> cell, in percent. The metrics are those of the last evaluation; a metric
        that the graph was not evaluated by has a dash. Empty if the graph was not evaluated.

    Example:
        >>> change = {"mean_a": 0.72, "difference": -0.0056, "low": -0.0101, "high": -0.0012}
        >>> scores = {"after training": {"recall_at_1": 0.7256, "map_at_r": 0.4}}
        >>> rows = int8_rows({"scores": scores, "int8": {"recall_at_1": change}})
        >>> rows["int8 (ONNX)"]
        {'recall_at_1': '72.0', 'map_at_r': '-'}
        >>> rows["int8 minus float32"]["recall_at_1"]
        '-0.6 (-1.0 to -0.1)'
    """
    changes = results.get("int8")
    if not changes:
        return {}
    names = metric_names(list(results["scores"].values())[-1])
    return {
        "int8 (ONNX)": {name: in_percent(changes[name]["mean_a"]) if name in changes else "-" for name in names},
        "int8 minus float32": {
            name: in_percent(changes[name]["difference"], changes[name], sign="+") if name in changes else "-"
            for name in names
        },
    }
