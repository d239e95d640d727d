"""What several seeds of each way scored, and how far apart the ways are."""

from collections.abc import Mapping, Sequence

import numpy as np

from hf_vitret import compare

from .perform import METRICS

TITLES = {"recall_at_1": "R@1", "recall_at_10": "R@10", "map_at_r": "MAP@R"}
Values = Mapping[str, np.ndarray]


def table(title: str, ways: Mapping[str, Sequence[Values]], baseline: str) -> str:
    """Lay out means over seeds with their spread, and the paired difference to a baseline, in Markdown.

    The interval of a difference is a paired bootstrap over the queries of each query's mean over the seeds: it tells
    of other queries like these. What other seeds would do, the spread tells.

    Args:
        title: Of the first column.
        ways: For each way the values of each query, by metric, of each seed.
        baseline: The way that the others are compared with.
    """
    means = {
        way: {name: np.mean([run[name] for run in runs], axis=0) for name in METRICS} for way, runs in ways.items()
    }
    lines = [f"| {title} | seeds | " + " | ".join(TITLES.values()) + f" | R@1 less that of {baseline} |"]
    lines.append("|---" * (len(TITLES) + 3) + "|")
    for way, runs in ways.items():
        cells = [way, str(len(runs))]
        for name in METRICS:
            scores = [100 * float(np.nanmean(run[name])) for run in runs]
            spread = f" ({min(scores):.1f} to {max(scores):.1f})" if len(scores) > 1 else ""
            cells.append(f"{np.mean(scores):.1f}{spread}")
        if way == baseline:
            cells.append("")
        else:
            found = compare(means[way]["recall_at_1"], means[baseline]["recall_at_1"])
            low, high = 100 * found.low, 100 * found.high
            cells.append(f"{100 * found.difference:+.1f} ({low:+.1f} to {high:+.1f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
