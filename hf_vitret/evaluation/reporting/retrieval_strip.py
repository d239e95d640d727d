"""Pictures of search results: queries with their nearest images, positives framed green and negatives red."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...data.images import to_rgb
from ..evaluator import RetrievalEvaluator

if TYPE_CHECKING:
    from datasets import Dataset

TILE = 96  # pixels: small enough for a page, large enough to distinguish two drawings
FRAME = 4
GAP = 8
HEADER = 32
HEADING = 28  # the line above a group of queries
RIGHT, WRONG, INK, PAPER = "#1a7f37", "#cf222e", "#1f2328", "#ffffff"


def drawn_queries(evaluator: RetrievalEvaluator, num_queries: int = 8, seed: int = 0) -> torch.Tensor:
    """Draw the queries of a picture at random.

    Args:
        evaluator: The data set.
        num_queries: Number of queries; fewer if the query set is smaller.
        seed: Seed of the draw.

    Returns:
        `(num_queries,)` int64, rows of the query set, ascending.
    """
    rows = np.random.default_rng(seed).permutation(len(evaluator.query))[:num_queries]
    return torch.as_tensor(np.sort(rows))


def choose_shown(
    evaluator: RetrievalEvaluator,
    rows: torch.Tensor,
    neighbors: torch.Tensor,
    num_random: int = 5,
    num_failures: int = 3,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Choose the drawn queries that a picture shows: some at random, and some whose first image is of another class.

    The random queries contain failures in their true share. A good model has almost none of them, so only the others
    show how it fails.

    Args:
        evaluator: The data set.
        rows: `(num_drawn,)` int64, rows of the query set, as `drawn_queries` returns them.
        neighbors: `(num_drawn, num_neighbors)` int64, rows of the gallery, nearest first; -1 where there are no more.
        num_random: Number of queries chosen at random.
        num_failures: Number of further queries whose first image is of another class; fewer if there are fewer.
        seed: Seed of the choice.

    Returns:
        The positions in `rows` of the random queries and of the failures, two int64 tensors, each ascending, without
        common positions; and the number of drawn queries whose first image is of another class. A query without a
        positive is not counted as a failure.
    """
    order = torch.as_tensor(np.random.default_rng(seed).permutation(len(rows)))
    first = neighbors[:, 0].cpu()
    is_wrong = evaluator.gallery_labels[first] != evaluator.query_labels[rows]  # (num_drawn,)
    is_wrong &= (first >= 0) & _has_right_image(evaluator, rows)
    shown, rest = order[:num_random], order[num_random:]
    failures = rest[is_wrong[rest]][:num_failures]
    return shown.sort().values, failures.sort().values, int(is_wrong.sum())


def _has_right_image(evaluator: RetrievalEvaluator, rows: torch.Tensor) -> torch.Tensor:
    """Return which queries share their class with a gallery image that is not the query itself, `(num_rows,)` bool."""
    query_ids, gallery_ids = evaluator.shared_ids
    labels, counts = torch.unique(evaluator.gallery_labels, return_counts=True)
    wanted = evaluator.query_labels[rows]
    positions = torch.searchsorted(labels, wanted).clamp(max=len(labels) - 1)
    num_right = torch.where(labels[positions] == wanted, counts[positions], 0)
    return num_right > torch.isin(query_ids[rows], gallery_ids)


def draw_retrieval_strip(
    evaluator: RetrievalEvaluator,
    rows: torch.Tensor,
    neighbors: Sequence[torch.Tensor],
    titles: Sequence[str],
    groups: Mapping[str, torch.Tensor] | None = None,
) -> Image.Image:
    """Draw the nearest images of some queries, side by side for several models.

    Args:
        evaluator: The data set.
        rows: `(num_queries,)` int64, rows of the query set, as `drawn_queries` returns them.
        neighbors: For each model, the rows of its nearest gallery images, `(num_queries, num_neighbors)` int64, nearest
            first, -1 where there are no more; as `RetrievalEvaluator.neighbors` returns them.
        titles: For each model, a few words to write above its columns.
        groups: Headings, each with the positions in `rows` of the queries to draw under it, in this order. A group
            without queries is not drawn. `None` draws all queries without a heading.

    Returns:
        The picture: a column of queries, then a block of nearest images for each model.

    Raises:
        ValueError: There is no model, or the neighbours are not of these queries, or differ in number between models.
    """
    shapes = {tuple(found.shape) for found in neighbors}
    if len(shapes) != 1 or next(iter(shapes))[0] != len(rows):
        raise ValueError(
            f"neighbors must be ({len(rows)} queries, num_neighbors) for each model, got {sorted(shapes)}. Search for "
            "the same rows, and for the same number of neighbours, with each model."
        )
    num_neighbors = next(iter(shapes))[1]
    drawn = (
        {"": torch.arange(len(rows))} if groups is None else {name: each for name, each in groups.items() if len(each)}
    )

    cell = TILE + 2 * FRAME
    block = num_neighbors * cell + (num_neighbors - 1) * GAP
    width = GAP + cell + len(neighbors) * (3 * GAP + block) + GAP
    height = HEADER + sum(len(positions) * (cell + GAP) + (HEADING if name else 0) for name, positions in drawn.items())
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=16)
    lefts = [GAP + cell + 3 * GAP + model * (block + 3 * GAP) for model in range(len(neighbors))]
    for left, title in zip([GAP, *lefts], ["query", *titles]):
        pen.text((left, HEADER / 2), title, INK, font, anchor="lm")
    top = HEADER
    for name, positions in drawn.items():
        if name:
            pen.text((GAP, top + HEADING / 2), name, INK, font, anchor="lm")
            top += HEADING
        for position in positions.tolist():
            found = [of_model[position].tolist() for of_model in neighbors]
            _draw_line(strip, evaluator, int(rows[position]), found, lefts, top)
            top += cell + GAP
    return strip


def _draw_line(
    strip: Image.Image,
    evaluator: RetrievalEvaluator,
    row: int,
    neighbors: Sequence[Sequence[int]],
    lefts: Sequence[int],
    top: int,
) -> None:
    """Draw a query and the images that each model found for it."""
    gallery = evaluator.query if evaluator.gallery is None else evaluator.gallery
    strip.paste(_tile(evaluator.query, row, INK), (GAP, top))
    for left, found in zip(lefts, neighbors, strict=True):
        for column, neighbor in enumerate(found):
            if neighbor < 0:  # the gallery holds fewer images than there are columns
                continue
            is_right = evaluator.gallery_labels[neighbor] == evaluator.query_labels[row]
            tile = _tile(gallery, neighbor, RIGHT if is_right else WRONG)
            strip.paste(tile, (left + column * (TILE + 2 * FRAME + GAP), top))


def _tile(dataset: "Dataset", row: int, color: str) -> Image.Image:
    """Fit an image into a square tile on white, inside a frame."""
    image = ImageOps.pad(to_rgb(dataset[row]["image"]), (TILE, TILE), Image.Resampling.BICUBIC, PAPER)
    return ImageOps.expand(image, FRAME, color)
