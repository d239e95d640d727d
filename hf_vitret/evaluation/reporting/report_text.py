"""Parts of a text report: titles of metrics, formatted numbers, aligned columns and the lines of a protocol."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from .bootstrap import Comparison, Interval

_WIDTH = 110  # characters of a line
_TITLES = {
    "recall": "R",
    "precision": "P",
    "map": "mAP",
    "map_at_r": "MAP@R",
    "mrr": "MRR",
    "ndcg": "nDCG",
    "r_precision": "R-precision",
}


def metric_title(name: str) -> str:
    """Return the usual title of a metric, such as R@10 for `recall_at_10`; any other name is returned as it is.

    Example:
        >>> [metric_title(name) for name in ("recall_at_10", "map_at_r", "map_at_100", "num_queries", "hard_map")]
        ['R@10', 'MAP@R', 'mAP@100', 'num_queries', 'mAP hard']
    """
    match = re.fullmatch(r"(\w+)_at_(\d+)", name)
    if match and match[1] in _TITLES:
        return f"{_TITLES[match[1]]}@{match[2]}"
    level, _, rest = name.partition("_")
    if rest and level in ("easy", "medium", "hard"):
        return f"{metric_title(rest)} {level}"
    return _TITLES.get(name, name)


def cell(name: str, value: float) -> str:
    """Format a metric in percent, and a count as a whole number.

    Example:
        >>> cell("map_at_r", 0.4712), cell("num_queries", 60502)
        ('47.12', '60,502')
    """
    return f"{value:,}" if name.startswith("num_") else f"{100 * value:.2f}"


def aligned(rows: list[list[str]]) -> list[str]:
    """Pad the cells of each column to one width: the first column to the left, the others to the right.

    Example:
        >>> aligned([["R@1", "84.13"], ["MAP@R", "9.20"]])
        ['  R@1    84.13', '  MAP@R   9.20']
    """
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return [
        "  "
        + "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths)) for row in rows)
    ]


def how_drawn(drawn: Interval | Comparison) -> str:
    """Return the line that explains the brackets of a table: their confidence level and how they were computed."""
    return (
        f"In percent; in brackets the {100 * drawn.confidence:g}% interval: bootstrap over {drawn.num_queries:,} "
        f"queries, {drawn.num_resamples:,} resamples, seed {drawn.seed}"
    )


def protocol_lines(protocol: Mapping[str, Any]) -> list[str]:
    """Return a protocol as wrapped lines of text; an empty protocol has none.

    Example:
        >>> protocol_lines({"image_size": 224, "ks": [1, 10]})
        ['Protocol: image_size 224; ks 1, 10']
    """
    shown = {name: ", ".join(map(str, v)) if isinstance(v, list) else v for name, v in protocol.items()}
    text = "Protocol: " + "; ".join(f"{name} {value}" for name, value in shown.items())
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ") if protocol else []
