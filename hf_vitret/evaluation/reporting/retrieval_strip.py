"""Draw what a model finds: queries, their nearest images, right ones framed green and wrong ones red."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...data.images import to_rgb
from ..evaluator import RetrievalEvaluator

if TYPE_CHECKING:
    from datasets import Dataset

TILE = 96  # pixels: small enough for a page, large enough to tell two drawings apart
FRAME = 4
GAP = 8
HEADER = 32
RIGHT, WRONG, INK, PAPER = "#1a7f37", "#cf222e", "#1f2328", "#ffffff"


def drawn_queries(evaluator: RetrievalEvaluator, num_queries: int = 8, seed: int = 0) -> torch.Tensor:
    """Draw the queries of a picture at random, not by choice: it shows failures in their true share.

    Args:
        evaluator: The data set.
        num_queries: How many; fewer where the query set is smaller.
        seed: Of the draw.

    Returns:
        `(num_queries,)` int64 rows of the query set, ascending.
    """
    rows = np.random.default_rng(seed).permutation(len(evaluator.query))[:num_queries]
    return torch.as_tensor(np.sort(rows))


def draw_retrieval_strip(
    evaluator: RetrievalEvaluator, rows: torch.Tensor, neighbors: Sequence[torch.Tensor], titles: Sequence[str]
) -> Image.Image:
    """Draw the nearest images of some queries, side by side for several models.

    Args:
        evaluator: The data set.
        rows: `(num_queries,)` int64 rows of the query set, as `drawn_queries` gives them.
        neighbors: For each model the rows of its neighbours in the gallery, `(num_queries, num_neighbors)` int64, best
            first, -1 where there are no more; as `RetrievalEvaluator.neighbors` finds them.
        titles: For each model a few words above its columns.

    Returns:
        The picture: a column of queries, then the neighbours by each model.

    Raises:
        ValueError: No model, or the neighbours are not of these queries, or not equally many by each model.
    """
    shapes = {tuple(found.shape) for found in neighbors}
    if len(shapes) != 1 or next(iter(shapes))[0] != len(rows):
        raise ValueError(
            f"neighbors must be ({len(rows)} queries, num_neighbors) for each model, got {sorted(shapes)}. Search for "
            "the same rows, and as many neighbours, with each."
        )
    gallery = evaluator.query if evaluator.gallery is None else evaluator.gallery
    num_queries, num_neighbors = next(iter(shapes))

    cell = TILE + 2 * FRAME
    block = num_neighbors * cell + (num_neighbors - 1) * GAP
    width = GAP + cell + len(neighbors) * (3 * GAP + block) + GAP
    height = HEADER + num_queries * (cell + GAP)
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=16)
    lefts = [GAP + cell + 3 * GAP + model * (block + 3 * GAP) for model in range(len(neighbors))]
    for left, title in zip([GAP, *lefts], ["query", *titles]):
        pen.text((left, HEADER / 2), title, INK, font, anchor="lm")
    for line, row in enumerate(rows.tolist()):
        top = HEADER + line * (cell + GAP)
        strip.paste(_tile(evaluator.query, row, INK), (GAP, top))
        for model, left in enumerate(lefts):
            for place, neighbor in enumerate(neighbors[model][line].tolist()):
                if neighbor < 0:  # the gallery holds fewer images than there are columns
                    continue
                is_right = evaluator.gallery_labels[neighbor] == evaluator.query_labels[row]
                tile = _tile(gallery, neighbor, RIGHT if is_right else WRONG)
                strip.paste(tile, (left + place * (cell + GAP), top))
    return strip


def _tile(dataset: "Dataset", row: int, color: str) -> Image.Image:
    """Fit an image into a square tile on white, inside a frame."""
    image = ImageOps.pad(to_rgb(dataset[row]["image"]), (TILE, TILE), Image.Resampling.BICUBIC, PAPER)
    return ImageOps.expand(image, FRAME, color)
