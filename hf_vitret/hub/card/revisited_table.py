"""The card's table of mAP on the revisited Oxford and Paris benchmarks, with a row for each stage of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation.revisited.labelled_images import LEVELS
from ..score_table import in_percent

_NAMES = {"roxford5k": "ROxford5k", "rparis6k": "RParis6k"}


def revisited_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Lay out mAP with a row for each stage of the search and a column for each benchmark and level.

    Args:
        results: The content of the run's `results.json`. `results["revisited"]` is what `score_stages` returned:
            benchmark -> stage -> metrics. It is missing if they were not measured.

    Returns:
        Rows of cells in percent, the header first; empty if nothing was measured.

    Example:
        >>> scores = {"easy_map": 0.5, "medium_map": 0.4, "hard_map": 0.125}
        >>> revisited_rows({"revisited": {"roxford5k": {"after training": scores}}})[1]
        ['after training', '50.0', '40.0', '12.5']
    """
    measured = results.get("revisited")
    if not measured:
        return []
    titles = next(iter(measured.values()))
    cells = [(name, level) for name in measured for level in LEVELS]
    return [
        ["", *(f"{_NAMES.get(name, name)} {level}" for name, level in cells)],
        *([title, *(in_percent(measured[name][title][f"{level}_map"]) for name, level in cells)] for title in titles),
    ]


def with_revisited(paper_rows: Sequence[Sequence[str]], results: Mapping[str, Any]) -> list[list[str]]:
    """Fill the mAP of a run into its own row of the table of the paper's figures.

    The mAP is that of the last stage of `results["scores"]`, the trained model without further steps of the search, as
    in the paper.

    Args:
        paper_rows: The table of `hf_vitret.hub.score_table.paper_rows`: the header, then the row of this model, then
            those of the paper.
        results: The content of the run's `results.json`. `results["revisited"]` is what `score_stages` returned:
            benchmark -> stage -> metrics. Without it the table is returned unchanged.

    Returns:
        The table with the run's mAP, as a new list.
    """
    rows = [list(row) for row in paper_rows]
    titles = list(results["scores"])
    for name, stages in results.get("revisited", {}).items() if rows and titles else ():
        for level in LEVELS:
            column = f"{_NAMES.get(name, name)} mAP {level}"
            if column in rows[0]:
                rows[1][rows[0].index(column)] = in_percent(stages[titles[-1]][f"{level}_map"])
    return rows
