"""Draw what a model finds: queries, their nearest images, right ones framed green and wrong ones red."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..data.images import to_rgb
from ..search.neighbors import nearest_neighbors
from .evaluator import RetrievalEvaluator

if TYPE_CHECKING:
    from datasets import Dataset

TILE = 96  # pixels: small enough for a page, large enough to tell two drawings apart
FRAME = 4
GAP = 8
HEADER = 32
RIGHT, WRONG, INK, PAPER = "#1a7f37", "#cf222e", "#1f2328", "#ffffff"


def draw_retrieval_strip(
    evaluator: RetrievalEvaluator,
    embeddings: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    titles: Sequence[str],
    *,
    num_queries: int = 8,
    num_neighbors: int = 5,
    seed: int = 0,
) -> Image.Image:
    """Draw the nearest images of some queries, side by side for several models.

    The queries are drawn at random, not chosen: the picture shows failures in their true share.

    Args:
        evaluator: The data set.
        embeddings: For each model its embeddings of the queries `(Q, dim)` and of the gallery `(N, dim)`, or `None`
            where the queries search among themselves.
        titles: For each model a few words above its columns.
        num_queries: Rows.
        num_neighbors: Columns for each model.
        seed: Of the draw.

    Returns:
        The picture: a column of queries, then the neighbours by each model, best first.
    """
    gallery = evaluator.query if evaluator.gallery is None else evaluator.gallery
    num_queries = min(num_queries, len(evaluator.query))
    rows = np.sort(np.random.default_rng(seed).permutation(len(evaluator.query))[:num_queries])
    neighbors = [_neighbors(evaluator, pair, torch.as_tensor(rows), num_neighbors) for pair in embeddings]

    cell = TILE + 2 * FRAME
    block = num_neighbors * cell + (num_neighbors - 1) * GAP
    width = GAP + cell + len(embeddings) * (3 * GAP + block) + GAP
    height = HEADER + num_queries * (cell + GAP)
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=16)
    lefts = [GAP + cell + 3 * GAP + model * (block + 3 * GAP) for model in range(len(embeddings))]
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


def _neighbors(
    evaluator: RetrievalEvaluator,
    embeddings: tuple[torch.Tensor, torch.Tensor | None],
    rows: torch.Tensor,
    num_neighbors: int,
) -> torch.Tensor:
    """Find the nearest gallery rows of some queries, `(rows, num_neighbors)`, each query's own image left out."""
    queries, gallery = embeddings
    query_ids, gallery_ids = evaluator.shared_ids
    _, indices = nearest_neighbors(
        queries[rows],
        queries if gallery is None else gallery,
        num_neighbors,
        query_ids=query_ids[rows],
        gallery_ids=gallery_ids,
    )
    return indices


def _tile(dataset: "Dataset", row: int, color: str) -> Image.Image:
    """Fit an image into a square tile on white, inside a frame."""
    image = ImageOps.pad(to_rgb(dataset[row]["image"]), (TILE, TILE), Image.Resampling.BICUBIC, PAPER)
    return ImageOps.expand(image, FRAME, color)
