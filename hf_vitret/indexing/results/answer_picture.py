"""`draw_picture`: the results of a search as a picture, with one row per query and the best image first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...evaluation.reporting.retrieval_strip import FRAME, GAP, HEADER, INK, PAPER, TILE
from .found_images import FoundImages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .answers import Answer

_CAPTION = 18  # pixels below an image, for its score
_SHADE, _LINE = "#f6f8fa", "#d1d9e0"


def draw_picture(
    answers: Sequence[Answer], query_paths: Sequence[str | PathLike[str]], image_folder: str | PathLike[str] | None
) -> Image.Image:
    """Draw the results of a search as a picture.

    Args:
        answers: The results; at least one.
        query_paths: The image file of each query.
        image_folder: Folder relative to which the paths of the index are. None: the results are drawn as empty tiles.

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
    for x, text in ((GAP, "query"), (left, "found, best first")):
        pen.text((x, HEADER / 2), text, INK, large, anchor="lm")
    for row, (answer, path) in enumerate(zip(answers, query_paths, strict=True)):
        top = HEADER + row * line
        picture.paste(_tile(images.query(path), INK), (GAP, top))
        if not answer.hits:
            pen.text((left, top + cell / 2), "no match", INK, large, anchor="lm")
        for hit in answer.hits:
            x = left + (hit.rank - 1) * (cell + GAP)
            picture.paste(_tile(images.found(hit.path), _LINE), (x, top))
            pen.text((x + cell / 2, top + cell + _CAPTION / 2), f"{hit.score:.4f}", INK, small, anchor="mm")
    return picture


def _tile(image: Image.Image | None, color: str) -> Image.Image:
    """Fit an image into a white square with a frame. A missing image is an empty tile."""
    if image is None:
        tile = Image.new("RGB", (TILE, TILE), _SHADE)
    else:
        tile = ImageOps.pad(image, (TILE, TILE), Image.Resampling.BICUBIC, PAPER)
    return ImageOps.expand(tile, FRAME, color)
