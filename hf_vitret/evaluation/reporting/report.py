"""Results of an evaluation with the protocol they were obtained by, as text for people and as JSON for programs."""

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
    """What a model scored, and how it was measured.

    Attributes:
        model: Name of the model: an id on the Hub, or a folder's.
        metrics: Means by the names of `retrieval_metrics`, and counts by names that start with `num_`; nan where
            nothing was measured.
        protocol: What another score must share to be compared: image size, resize and crop, pooling, dimension, dtype,
            tie rule, numbers of queries and of gallery images... JSON values.
        intervals: Confidence intervals by the names of the metrics; none where they were not asked for.

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
        """Take means and intervals of what each query scored.

        Args:
            model: Name of the model.
            values: For each metric `(num_queries,)` float64, nan for a query without a positive: `query_metrics`.
            protocol: As above.
            **settings: `num_resamples`, `confidence` and `seed` of `bootstrap_interval`.

        Returns:
            The result, which counts all queries and those without a positive.

        Raises:
            ValueError: There is no metric, or as for `bootstrap_interval`.

        Example:
            >>> result = EvaluationResult.of_queries("a", {"mrr": [1.0, 0.5, float("nan")]}, {})
            >>> result.metrics
            {'mrr': 0.75, 'num_queries': 3, 'num_queries_without_positive': 1}
        """
        if not values:
            raise ValueError("values must hold at least one metric, got none. query_metrics gives them.")
        intervals = {name: bootstrap_interval(scores, **settings) for name, scores in values.items()}
        first = next(iter(intervals.values()))
        counts = {
            "num_queries": first.num_queries + first.num_left_out,
            "num_queries_without_positive": first.num_left_out,
        }
        return cls(model, {name: each.mean for name, each in intervals.items()} | counts, dict(protocol), intervals)

    def table(self) -> str:
        """Lay out the metrics, in percent, with their intervals, and the protocol under them."""
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
        """Write the result as a JSON file, whole or not at all; NaN becomes null."""
        return write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> EvaluationResult:
        """Read what `save` wrote.

        Raises:
            ValueError: The file holds something else.
        """
        return cls._of(read_fields(path, _names(cls)), path)

    @classmethod
    def _of(cls, content: Any, path: str | PathLike[str]) -> EvaluationResult:
        content = check_fields(content, _names(cls), path)
        intervals = {name: Interval(**null_as_nan(each)) for name, each in content["intervals"].items()}
        return cls(content["model"], null_as_nan(content["metrics"]), content["protocol"], intervals)


@dataclass(frozen=True)
class ComparisonResult:
    """Two models on the same queries.

    Attributes:
        result_a: What the first scored.
        result_b: What the second scored.
        differences: The first less the second, by the names of the metrics.
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
        """Compare what each query scored by the paired bootstrap.

        Args:
            result_a: What the first model scored.
            result_b: What the second model scored.
            values_a: For each metric `(num_queries,)` float64, by the first model.
            values_b: The same metrics of the same queries in the same order, by the second.
            **settings: `num_resamples`, `confidence` and `seed` of `compare`.

        Raises:
            ValueError: The metrics are not the same, or as for `compare`.
        """
        if set(values_a) != set(values_b):
            raise ValueError(
                f"both models must have the same metrics, got {', '.join(values_a)} and {', '.join(values_b)}. "
                "Ask for the same ones."
            )
        differences = {name: compare(values_a[name], values_b[name], **settings) for name in values_a}
        return cls(result_a, result_b, differences)

    def table(self) -> str:
        """Lay out the differences, in points of a percent, and what the protocols do not share."""
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
        """Write the comparison, with both results, as JSON; as `EvaluationResult.save` does."""
        return write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ComparisonResult:
        """Read what `save` wrote.

        Raises:
            ValueError: The file holds something else.
        """
        content = read_fields(path, _names(cls))
        result_a, result_b = (EvaluationResult._of(content[side], path) for side in ("result_a", "result_b"))
        differences = {name: Comparison(**null_as_nan(each)) for name, each in content["differences"].items()}
        return cls(result_a, result_b, differences)


def _names(kind: Any) -> list[str]:
    return [each.name for each in fields(kind)]
