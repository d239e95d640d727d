"""The pictures of a run: queries with the images found for them, and the curves of the loss and R@1."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...evaluation.evaluator import RetrievalEvaluator
from ...evaluation.reporting.retrieval_strip import choose_shown, draw_retrieval_strip
from ...hub.card.run_curves import draw_run_curves
from ...hub.card.run_files import CURVES_NAME

NUM_DRAWN = 256  # queries to choose from: enough to contain failures of a model with R@1 99
NUM_NEIGHBORS = 5  # images found for a query in the picture
CURVES_DPI = 120


def draw_strip(
    evaluator: RetrievalEvaluator, rows: torch.Tensor, neighbors: Sequence[torch.Tensor], titles: Sequence[str]
) -> tuple[Image.Image, dict[str, int]]:
    """Draw some queries at random, and some for which the last model finds a wrong image first.

    Args:
        evaluator: Evaluator of the test images.
        rows: Rows of the queries to choose from, from `drawn_queries`.
        neighbors: For each model, the rows of the images that it finds for each of these queries, best first.
        titles: Title of each model.

    Returns:
        The picture, and the counts `num_neighbors`, `num_random`, `num_failures`, `num_wrong` (queries to choose from
        whose first image is wrong) and `num_drawn` (queries to choose from).
    """
    at_random, failures, num_wrong = choose_shown(evaluator, rows, neighbors[-1])
    shown = torch.cat([at_random, failures])
    order = torch.arange(len(shown))
    groups = {"drawn at random": order[: len(at_random)], "failures": order[len(at_random) :]}
    strip = draw_retrieval_strip(evaluator, rows[shown], [found[shown] for found in neighbors], titles, groups)
    return strip, {
        "num_neighbors": neighbors[-1].shape[1],
        "num_random": len(at_random),
        "num_failures": len(failures),
        "num_wrong": num_wrong,
        "num_drawn": len(rows),
    }


def save_curves(results: Mapping[str, Any], folder: Path, say: Callable[[str], None] = print) -> str | None:
    """Draw the curves of a run if matplotlib is installed, and print a line if it is not.

    Args:
        results: Content of `results.json`.
        folder: Folder for the picture.
        say: Prints a line.

    Returns:
        Name of the file; `None` without matplotlib.
    """
    try:
        figure = draw_run_curves(results)
    except ImportError as error:
        say(f"The card has no curves: {error}")
        return None
    figure.savefig(folder / CURVES_NAME, dpi=CURVES_DPI)
    return CURVES_NAME
