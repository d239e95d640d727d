"""`FinishedRun`, the outcome of a run, and its report for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...data.catalogue.left_out import describe_left_out
from ...evaluation.reporting.report_text import aligned
from ...hub.card.run_files import PICTURE_NAME, RESULTS_NAME
from ...hub.score_table import how_intervals_were_drawn, metric_names, score_rows
from .measurements import AFTER
from .schedule_advice import schedule_advice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class FinishedRun:
    """The outcome of a run.

    Attributes:
        folder: Folder with weights, configuration, image processor, model code, card, pictures and `results.json`.
        results: Content of `results.json`; empty on all processes but the main one.
        is_published: Whether it was published on the Hub; `None` for a run without `push_to_hub`.
    """

    folder: Path
    results: Mapping[str, Any]
    is_published: bool | None


def report_run(run: FinishedRun) -> str:
    """Return the scores of a run as a table, and the paths of its files, for the terminal.

    Args:
        run: A run with results.
    """
    results, folder = run.results, run.folder
    lines = []
    if results["scores"]:
        rows = score_rows(results)
        names = metric_names(results["scores"][AFTER])
        table = [["", *rows], *([title, *(cells[name] for cells in rows.values())] for name, title in names.items())]
        drawn = how_intervals_were_drawn(results)
        lines += ["", *aligned(table), *([drawn] if drawn else []), ""]
    else:
        lines += ["", "Scores       none: all classes were trained on, and there are no images to test on"]
    counts = ", ".join(f"{len(images)} of {name}" for name, images in results["data"]["left_out"].items() if images)
    if counts:
        lines.append(f"Left out     {counts}: images that cannot be read, named in {RESULTS_NAME}")
    files = describe_left_out(results["data"].get("left_out_files", []))
    lines += [f"{'' if number else 'Not used':13}{line}" for number, line in enumerate(files)]
    mended = results["data"].get("mended", {})
    if mended:
        counts = ", ".join(f"{len(images)} of {name}" for name, images in mended.items())
        lines.append(f"Mended       {counts}: truncated JPEG files, named in {RESULTS_NAME}")
    advice = schedule_advice(results) if results["scores"] else None
    if advice:
        lines.append(f"Length       {advice}")
    lines += [f"Checkpoint   {folder}", f"Model card   {folder / 'README.md'}"]
    if (folder / PICTURE_NAME).exists():
        lines.append(f"Picture      {folder / PICTURE_NAME}")
    return "\n".join(lines)
