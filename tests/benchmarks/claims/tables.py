"""What several seeds of each way scored, and how far apart the ways are: as data, and in Markdown."""

from pathlib import Path
from typing import Any

import numpy as np

from hf_vitret import compare

from .perform import METRICS, is_made, read_facts, read_values
from .run import Run
from .studies import Study

TITLES = {"recall_at_1": "R@1", "recall_at_10": "R@10", "map_at_r": "MAP@R"}


def made_ways(study: Study, folder: Path) -> dict[str, list[Run]]:
    """Give for each way of a study its runs that have been made; ways without any are left out."""
    made = {way: [run for run in runs if is_made(run, folder)] for way, runs in study.ways.items()}
    return {way: runs for way, runs in made.items() if runs}


def summarise(study: Study, at: int, folder: Path) -> dict[str, Any] | None:
    """Summarise the runs of a study that have been made, at one length of the schedule.

    The interval of a difference is a paired bootstrap over the queries of each query's mean over the seeds: it tells
    of other queries like these. What other seeds would do, the spread tells.

    Returns:
        For each way in percent the score of each seed, and the difference in R@1 to the baseline; `None` where the
        baseline has not been made.
    """
    of_queries: dict[str, list[dict[str, np.ndarray]]] = {}
    ways: dict[str, dict[str, Any]] = {}
    for way, made in made_ways(study, folder).items():
        found = [read_values(run, folder) for run in made]
        steps = [at if run.max_steps else 0 for run in made]
        of_queries[way] = [
            {name: values[f"{step}/{name}"] for name in METRICS} for step, values in zip(steps, found, strict=True)
        ]
        made_on = [read_facts(run, folder)["environment"] for run in made]
        ways[way] = {
            "seeds": [run.seed for run in made],
            **{name: [round(100 * float(np.nanmean(one[name])), 2) for one in of_queries[way]] for name in METRICS},
            "machines": sorted({environment["machine"] for environment in made_on}),
            "commits": sorted({environment["commit"] for environment in made_on}),
        }
    if study.baseline not in ways:
        return None
    recall = {way: np.mean([one["recall_at_1"] for one in seeds], axis=0) for way, seeds in of_queries.items()}
    for way in ways:
        if way != study.baseline:
            apart = compare(recall[way], recall[study.baseline])
            low, high = 100 * apart.low, 100 * apart.high
            ways[way]["difference"] = [round(value, 2) for value in (100 * apart.difference, low, high)]
    return {"question": study.question, "steps": at, "baseline": study.baseline, "ways": ways}


def markdown(title: str, summary: dict[str, Any]) -> str:
    """Lay a summary out: means over seeds with their spread, and the paired difference to the baseline."""
    lines = [f"| {title} | seeds | " + " | ".join(TITLES.values()) + f" | R@1 less that of {summary['baseline']} |"]
    lines.append("|---" * (len(TITLES) + 3) + "|")
    for way, scores in summary["ways"].items():
        cells = [way, str(len(scores["seeds"]))]
        for name in METRICS:
            spread = f" ({min(scores[name]):.1f} to {max(scores[name]):.1f})" if len(scores[name]) > 1 else ""
            cells.append(f"{np.mean(scores[name]):.1f}{spread}")
        difference = scores.get("difference")
        cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*difference) if difference else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def grid(title: str, summary: dict[str, Any]) -> str:
    """Lay the R@1 of a grid's cells out by row and column; several seeds as their mean."""
    cells = {tuple(way.split(", ")): np.mean(scores["recall_at_1"]) for way, scores in summary["ways"].items()}
    rows, columns = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    lines = [f"| {title}, R@1 | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        values = [f"{cells[row, column]:.1f}" if (row, column) in cells else "" for column in columns]
        lines.append("| " + " | ".join([row, *values]) + " |")
    return "\n".join(lines)
