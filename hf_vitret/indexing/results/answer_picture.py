"""Answers as one picture: a line a query, then what it found, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...evaluation.reporting.retrieval_strip import FRAME, GAP, HEADER, INK, PAPER, TILE
from .found_images import FoundImages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .answers import Answer

_CAPTION = 18  # pixels below a tile, for its score
_SHADE, _LINE = "#f6f8fa", "#d1d9e0"


def draw_picture(
    answers: Sequence[Answer], query_paths: Sequence[str | PathLike[str]], image_folder: str | PathLike[str] | None
) -> Image.Image:
    """Draw the picture.

    Args:
        answers: What was found; at least one.
        query_paths: The image of each query.
        image_folder: That the paths of the index are relative to; None: without pictures of what was found.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    images = FoundImages(image_folder, TILE)
    cell = TILE + 2 * FRAME
    columns = max(1, *(len(answer.hits) for answer in answers))
    left = GAP + cell + 3 * GAP
    width, line = left + columns * (cell + GAP), cell + _CAPTION + GAP
    picture = Image.new("RGB", (width, HEADER + len(answers) * line), PAPER)
    pen, large = ImageDraw.Draw(picture), ImageFont.load_default(size=16)
    small = ImageFont.load_default(size=12)
    for place, text in ((GAP, "query"), (left, "found, best first")):
        pen.text((place, HEADER / 2), text, INK, large, anchor="lm")
    for row, (answer, path) in enumerate(zip(answers, query_paths, strict=True)):
        top = HEADER + row * line
        picture.paste(_tile(images.query(path), INK), (GAP, top))
        if not answer.hits:
            pen.text((left, top + cell / 2), "no match", INK, large, anchor="lm")
        for hit in answer.hits:
            place = left + (hit.rank - 1) * (cell + GAP)
            picture.paste(_tile(images.found(hit.path), _LINE), (place, top))
            pen.text((place + cell / 2, top + cell + _CAPTION / 2), f"{hit.score:.4f}", INK, small, anchor="mm")
    return picture


def _tile(image: Image.Image | None, color: str) -> Image.Image:
    """Fit an image into a square tile on white, inside a frame; an empty one stands for a picture that is not there."""
    if image is None:
        tile = Image.new("RGB", (TILE, TILE), _SHADE)
    else:
        tile = ImageOps.pad(image, (TILE, TILE), Image.Resampling.BICUBIC, PAPER)
    return ImageOps.expand(tile, FRAME, color)
