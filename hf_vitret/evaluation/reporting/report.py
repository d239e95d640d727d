"""`EvaluationResult` and `ComparisonResult`: metrics with protocol and intervals, as text tables and JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from ...files.json_values import check_fields, null_as_nan, read_fields, write_json
from .bootstrap import Comparison, Interval, PerQuery, bootstrap_interval, compare
from .report_text import aligned, cell, how_drawn, metric_title, protocol_lines


@dataclass(frozen=True)
class EvaluationResult:
    """The metrics of a model, with the protocol that they were measured by and their confidence intervals.

    Attributes:
        model: Name of the model: its id on the Hub, or the name of its folder.
        metrics: Means by the names that `retrieval_metrics` gives them, and counts by names that start with `num_`; nan
            if nothing was measured.
        protocol: What another score must have in common to be comparable: image size, resize and crop, pooling,
            dimension, dtype, tie rule, numbers of queries and of gallery images. JSON values by name.
        intervals: Confidence intervals by the names of the metrics; empty if none were computed.

    Example:
        >>> result = EvaluationResult("dinov2-small", {"recall_at_1": 0.75, "num_queries": 4}, {"image_size": 224})
        >>> print(result.table())
        dinov2-small
          R@1          75.00
          num_queries      4
        Protocol: image_size 224
    """

    model: str
    metrics: Mapping[str, float | int]
    protocol: Mapping[str, Any]
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @classmethod
    def of_queries(
        cls, model: str, values: Mapping[str, PerQuery], protocol: Mapping[str, Any], **settings: Any
    ) -> EvaluationResult:
        """Compute means and confidence intervals from the metrics of each query.

        Args:
            model: Name of the model: its id on the Hub, or the name of its folder.
            values: For each metric, `(num_queries,)` floats, nan for a query without a positive, as `query_metrics`
                returns them. At least one metric.
            protocol: What another score must have in common to be comparable, JSON values by name.
            **settings: `num_resamples`, `confidence` and `seed` of `bootstrap_interval`; by default 10,000, 0.95 and 0.

        Returns:
            The result, with counts of all queries and of those without a positive.

        Raises:
            ValueError: There is no metric, values are not one-dimensional or are infinite, or a setting is outside its
                range.

        Example:
            >>> result = EvaluationResult.of_queries("a", {"mrr": [1.0, 0.5, float("nan")]}, {})
            >>> result.metrics
            {'mrr': 0.75, 'num_queries': 3, 'num_queries_without_positive': 1}
        """
        if not values:
            raise ValueError("values must hold at least one metric, got none. Pass what query_metrics returns.")
        intervals = {name: bootstrap_interval(scores, **settings) for name, scores in values.items()}
        first = next(iter(intervals.values()))
        counts = {
            "num_queries": first.num_queries + first.num_left_out,
            "num_queries_without_positive": first.num_left_out,
        }
        return cls(model, {name: each.mean for name, each in intervals.items()} | counts, dict(protocol), intervals)

    def table(self) -> str:
        """Return a text table of the metrics, in percent, with their intervals, followed by the protocol."""
        rows = [[metric_title(name), cell(name, value)] for name, value in self.metrics.items()]
        for row, name in zip(rows, self.metrics):
            if name in self.intervals:
                interval = self.intervals[name]
                row.append(f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]")
        lines = [self.model, *aligned(rows)]
        if self.intervals:
            lines.append(how_drawn(next(iter(self.intervals.values()))))
        return "\n".join([*lines, *protocol_lines(self.protocol)])

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the result to a JSON file, completely or not at all; nan becomes null.

        Args:
            path: The file. Missing folders are created, and an existing file is replaced.

        Returns:
            The path.

        Raises:
            TypeError: The protocol has a value that JSON cannot store.
        """
        return write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> EvaluationResult:
        """Read a result that `save` wrote.

        Args:
            path: The file.

        Raises:
            ValueError: The file is not JSON, or does not contain an evaluation result.
        """
        return cls._of(read_fields(path, _names(cls)), path)

    @classmethod
    def _of(cls, content: Any, path: str | PathLike[str]) -> EvaluationResult:
        content = check_fields(content, _names(cls), path)
        intervals = {name: Interval(**null_as_nan(each)) for name, each in content["intervals"].items()}
        return cls(content["model"], null_as_nan(content["metrics"]), content["protocol"], intervals)


@dataclass(frozen=True)
class ComparisonResult:
    """The metrics of two models on the same queries, and their differences.

    Attributes:
        result_a: The result of model a.
        result_b: The result of model b.
        differences: Model a minus model b, by the names of the metrics.
    """

    result_a: EvaluationResult
    result_b: EvaluationResult
    differences: Mapping[str, Comparison]

    @classmethod
    def of_queries(
        cls,
        result_a: EvaluationResult,
        result_b: EvaluationResult,
        values_a: Mapping[str, PerQuery],
        values_b: Mapping[str, PerQuery],
        **settings: Any,
    ) -> ComparisonResult:
        """Compare the metrics of each query by two models, with the paired bootstrap.

        Args:
            result_a: The result of model a.
            result_b: The result of model b.
            values_a: For each metric, `(num_queries,)` floats by model a, nan for a query without a positive, as
                `query_metrics` returns them.
            values_b: The same metrics of the same queries by model b, in the same order.
            **settings: `num_resamples`, `confidence` and `seed` of `compare`; by default 10,000, 0.95 and 0.

        Returns:
            The two results with their differences.

        Raises:
            ValueError: The metrics or the numbers of queries differ, a query has a value by one model alone, values are
                not one-dimensional or are infinite, or a setting is outside its range.
        """
        if set(values_a) != set(values_b):
            raise ValueError(
                f"both models must have the same metrics, got {', '.join(values_a)} and {', '.join(values_b)}. "
                "Evaluate both with the same metrics."
            )
        differences = {name: compare(values_a[name], values_b[name], **settings) for name in values_a}
        return cls(result_a, result_b, differences)

    def table(self) -> str:
        """Return a text table of the differences, in percentage points, and of the differences of the protocols."""
        rows = [["", "a", "b", "a - b", "", "p"]]
        rows += [
            [
                metric_title(name),
                cell(name, each.mean_a),
                cell(name, each.mean_b),
                f"{100 * each.difference:+.2f}",
                f"[{100 * each.low:+.2f}, {100 * each.high:+.2f}]",
                f"{each.p_value:.4f}",
            ]
            for name, each in self.differences.items()
        ]
        lines = [f"a: {self.result_a.model}", f"b: {self.result_b.model}", *aligned(rows)]
        lines += [how_drawn(each) for each in list(self.differences.values())[:1]]
        a, b = self.result_a.protocol, self.result_b.protocol
        different = [name for name in {**a, **b} if a.get(name) != b.get(name)]
        lines += [f"Not the same: {name}, {a.get(name)} for a and {b.get(name)} for b" for name in different]
        return "\n".join(lines)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the comparison, with both results, to a JSON file, completely or not at all; nan becomes null.

        Args:
            path: The file. Missing folders are created, and an existing file is replaced.

        Returns:
            The path.

        Raises:
            TypeError: A protocol has a value that JSON cannot store.
        """
        return write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ComparisonResult:
        """Read a comparison that `save` wrote.

        Args:
            path: The file.

        Raises:
            ValueError: The file is not JSON, or does not contain a comparison.
        """
        content = read_fields(path, _names(cls))
        result_a, result_b = (EvaluationResult._of(content[side], path) for side in ("result_a", "result_b"))
        differences = {name: Comparison(**null_as_nan(each)) for name, each in content["differences"].items()}
        return cls(result_a, result_b, differences)


def _names(kind: Any) -> list[str]:
    return [each.name for each in fields(kind)]
