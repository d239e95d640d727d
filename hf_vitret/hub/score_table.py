"""Tables of the scores of a training run in percent, with confidence intervals, for the model card and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evaluation.metrics.metric_choice import MetricChoice
from ..evaluation.reporting.bootstrap import Interval
from ..evaluation.reporting.report_text import how_drawn, metric_title

_RECALL = "recall_at_"


def metric_names(scores: Mapping[str, float]) -> dict[str, str]:
    """Return the display names of the scores of a run, in the order of the table: R@K by K, MAP@R, R-precision.

    Args:
        scores: The scores of one evaluation in `results.json`, by the names of `retrieval_metrics`.

    Returns:
        Name of a metric -> its display name. Entries that are no metric, such as `num_queries`, are left out.

    Example:
        >>> metric_names({"map_at_r": 0.4, "recall_at_10": 0.9, "recall_at_1": 0.7, "num_queries": 5})
        {'recall_at_1': 'R@1', 'recall_at_10': 'R@10', 'map_at_r': 'MAP@R'}
    """
    ks = [int(name.removeprefix(_RECALL)) for name in scores if name.startswith(_RECALL)]
    return {name: metric_title(name) for name in MetricChoice(ks=ks).keys if name in scores}


def score_rows(results: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Format the scores of a run in percent, and their change by training in percentage points.

    Args:
        results: The content of the run's `results.json`. Runs on several processes and older runs have no intervals.

    Returns:
        Title of a row -> name of a metric -> cell. The last row, "difference", is there if differences were measured.

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
    """Lay out the scores of a run above those that the paper reports on the same data, in percent.

    Args:
        results: The content of the run's `results.json`, with a value of `PAPER_FIGURES` as `paper`. `scores` are
            empty for a run that has not been made yet.

    Returns:
        Rows of cells: the header, this model, then the models of the paper. Empty if the paper has no figures.

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
    """Describe the confidence intervals in the cells of `score_rows`; an empty text if there are none."""
    drawn = [interval for by_metric in results.get("intervals", {}).values() for interval in by_metric.values()]
    return how_drawn(Interval(**drawn[0])) if drawn else ""


def in_percent(share: float, interval: Mapping[str, float] | None = None, *, sign: str = "") -> str:
    """Format a share in percent, followed by its interval.

    Args:
        share: A share in [0, 1], or a difference of two.
        interval: `low` and `high` as shares; `None` prints no interval.
        sign: "+" prints the sign of positive numbers too.

    Returns:
        Numbers with one decimal.

    Example:
        >>> in_percent(0.7256), in_percent(0.7256, {"low": 0.71, "high": 0.742}), in_percent(0.02, sign="+")
        ('72.6', '72.6 (71.0 to 74.2)', '+2.0')
    """
    ends = [] if interval is None else [interval["low"], interval["high"]]
    # Adding 0.0 turns -0.0, a result of rounding, into 0.0.
    value, *bounds = (f"{round(100 * each, 1) + 0.0:{sign}.1f}" for each in (share, *ends))
    return f"{value} ({bounds[0]} to {bounds[1]})" if bounds else value
