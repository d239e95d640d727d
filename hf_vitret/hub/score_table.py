"""The scores of a run as people read them, with their intervals: for the model card and for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evaluation.metrics.metric_choice import MetricChoice
from ..evaluation.reporting.bootstrap import Interval
from ..evaluation.reporting.report_text import how_drawn, metric_title

_RECALL = "recall_at_"


def metric_names(scores: Mapping[str, float]) -> dict[str, str]:
    """Name the scores of a run as readers know them: R@K in order, then MAP@R and R-precision.

    Args:
        scores: As in `results.json`, by the names of `retrieval_metrics`.

    Example:
        >>> metric_names({"map_at_r": 0.4, "recall_at_10": 0.9, "recall_at_1": 0.7, "num_queries": 5})
        {'recall_at_1': 'R@1', 'recall_at_10': 'R@10', 'map_at_r': 'MAP@R'}
    """
    ks = [int(name.removeprefix(_RECALL)) for name in scores if name.startswith(_RECALL)]
    return {name: metric_title(name) for name in MetricChoice(ks=ks).keys if name in scores}


def score_rows(results: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Write what a run scored, in percent, and by how much it changed, in points of a percent.

    Args:
        results: As in `results.json`; that of a run on several processes, or of an older one, has no intervals.

    Returns:
        By the title of a row, then by the name of a metric; the last row is the difference, where it is known.

    Example:
        >>> interval = {"low": 0.71, "high": 0.742}
        >>> change = {"difference": 0.63, "low": 0.6151, "high": 0.6449}
        >>> scores = {"off the shelf": {"recall_at_1": 0.096}, "after training": {"recall_at_1": 0.7256}}
        >>> score_rows({"scores": scores})
        {'off the shelf': {'recall_at_1': '9.6'}, 'after training': {'recall_at_1': '72.6'}}
        >>> intervals = {"after training": {"recall_at_1": interval}}
        >>> rows = score_rows({"scores": scores, "intervals": intervals, "differences": {"recall_at_1": change}})
        >>> rows["after training"]["recall_at_1"], rows["difference"]["recall_at_1"]
        ('72.6 (71.0 to 74.2)', '+63.0 (+61.5 to +64.5)')
    """
    intervals = results.get("intervals", {})
    rows = {
        title: {name: in_percent(scores[name], intervals.get(title, {}).get(name)) for name in metric_names(scores)}
        for title, scores in results["scores"].items()
    }
    differences = results.get("differences", {})
    if differences:
        names = metric_names(differences)
        rows["difference"] = {
            name: in_percent(differences[name]["difference"], differences[name], sign="+") for name in names
        }
    return rows


def paper_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Write a run's scores, in percent, above those that the paper gives for the same data.

    Args:
        results: As in `results.json`, with `paper`: a value of `PAPER_FIGURES`. A run that has not been made yet has
            empty `scores`.

    Returns:
        Rows of cells, the head first, then this model; nothing where the paper has no figures.

    Example:
        >>> paper = {"source": "table 2", "rows": {"IRT_R": {"R@1": 84.2, "R@10": 93.7}, "IRT_O": {"R@1": 52.8}}}
        >>> paper_rows({"scores": {"after training": {"recall_at_1": 0.7256}}, "paper": paper})[1:]
        [['this model', '72.6', 'not measured'], ['IRT_R', '84.2', '93.7'], ['IRT_O', '52.8', '-']]
        >>> paper_rows({"scores": {}, "paper": paper})[1]
        ['this model', 'not yet measured', 'not yet measured']
    """
    paper = results.get("paper")
    if not paper:
        return []
    columns = list(dict.fromkeys(name for row in paper["rows"].values() for name in row))
    last = list(results["scores"].values())[-1] if results["scores"] else {}
    measured = {title: in_percent(last[name]) for name, title in metric_names(last).items()}
    unknown = "not measured" if last else "not yet measured"
    return [
        ["", *columns],
        ["this model", *(measured.get(name, unknown) for name in columns)],
        *([title, *(str(row.get(name, "-")) for name in columns)] for title, row in paper["rows"].items()),
    ]


def how_intervals_were_drawn(results: Mapping[str, Any]) -> str:
    """Say what the brackets of `score_rows` are; nothing where there are none."""
    drawn = [interval for by_metric in results.get("intervals", {}).values() for interval in by_metric.values()]
    return how_drawn(Interval(**drawn[0])) if drawn else ""


def in_percent(share: float, interval: Mapping[str, float] | None = None, *, sign: str = "") -> str:
    """Write a share in percent, with its interval behind it.

    Example:
        >>> in_percent(0.7256), in_percent(0.7256, {"low": 0.71, "high": 0.742}), in_percent(0.02, sign="+")
        ('72.6', '72.6 (71.0 to 74.2)', '+2.0')
    """
    ends = [] if interval is None else [interval["low"], interval["high"]]
    # Adding 0.0 turns a -0.0 of rounding into 0.0.
    value, *bounds = (f"{round(100 * each, 1) + 0.0:{sign}.1f}" for each in (share, *ends))
    return f"{value} ({bounds[0]} to {bounds[1]})" if bounds else value
