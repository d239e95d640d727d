"""mAP on the revisited benchmarks, stage by stage, as a card shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation.revisited.labelled_images import LEVELS
from ..score_table import in_percent

_NAMES = {"roxford5k": "ROxford5k", "rparis6k": "RParis6k"}


def revisited_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Lay out mAP: a row for each stage of the search, a column for each benchmark and level.

    Args:
        results: As in `results.json`. `results["revisited"]` is what `score_stages` returned: metrics by benchmark and
            stage; a run that did not measure them has none.

    Returns:
        Rows of cells, the head first; nothing where nothing was measured.

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
    """Write a run's own mAP into its row above the paper's.

    Args:
        paper_rows: As `hf_vitret.hub.score_table.paper_rows` lays them out: the head, then this model.
        results: As for `revisited_rows`; what counts is the search by the trained model alone, as in the paper.
    """
    rows = [list(row) for row in paper_rows]
    titles = list(results["scores"])
    for name, stages in results.get("revisited", {}).items() if rows and titles else ():
        for level in LEVELS:
            column = f"{_NAMES.get(name, name)} mAP {level}"
            if column in rows[0]:
                rows[1][rows[0].index(column)] = in_percent(stages[titles[-1]][f"{level}_map"])
    return rows
