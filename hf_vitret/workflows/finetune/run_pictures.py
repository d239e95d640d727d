"""The pictures of a run: what it finds, failures among it, and how its loss and R@1 went."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...evaluation.evaluator import RetrievalEvaluator
from ...evaluation.reporting.retrieval_strip import choose_shown, draw_retrieval_strip
from ...hub.card.run_curves import draw_run_curves
from ...hub.card.run_files import CURVES_NAME

NUM_DRAWN = 256  # queries of which some are shown: enough for failures of a model with R@1 99
NUM_NEIGHBORS = 5  # of a query in the picture
CURVES_DPI = 120


def draw_strip(
    evaluator: RetrievalEvaluator, rows: torch.Tensor, neighbors: Sequence[torch.Tensor], titles: Sequence[str]
) -> tuple[Image.Image, dict[str, int]]:
    """Draw some queries as they come, and some that the last model fails on.

    Args:
        evaluator: The data set.
        rows: As `drawn_queries` gives them.
        neighbors: For each model, as for `draw_retrieval_strip`.
        titles: For each model.

    Returns:
        The picture, and how its queries were chosen: `num_neighbors`, `num_random`, `num_failures`, `num_wrong` (those
        drawn whose first image is wrong) and `num_drawn`.
    """
    at_random, failures, num_wrong = choose_shown(evaluator, rows, neighbors[-1])
    shown = torch.cat([at_random, failures])
    places = torch.arange(len(shown))
    groups = {"drawn at random": places[: len(at_random)], "failures": places[len(at_random) :]}
    strip = draw_retrieval_strip(evaluator, rows[shown], [found[shown] for found in neighbors], titles, groups)
    return strip, {
        "num_neighbors": neighbors[-1].shape[1],
        "num_random": len(at_random),
        "num_failures": len(failures),
        "num_wrong": num_wrong,
        "num_drawn": len(rows),
    }


def save_curves(results: Mapping[str, Any], folder: Path, say: Callable[[str], None] = print) -> str | None:
    """Draw the curves of a run where matplotlib is installed, and report it where it is not.

    Args:
        results: As in `results.json`.
        folder: Where the picture is written.
        say: Prints a line.

    Returns:
        The file's name; `None` where there is none.
    """
    try:
        figure = draw_run_curves(results)
    except ImportError as error:
        say(f"The card has no curves: {error}")
        return None
    figure.savefig(folder / CURVES_NAME, dpi=CURVES_DPI)
    return CURVES_NAME
