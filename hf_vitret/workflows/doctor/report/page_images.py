"""Images of a data set as small pictures inside a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....data.images import read_image
from ....data.page_pictures import data_uri
from ..checks.image_table import undecoded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from datasets import Dataset

    from ..findings import ImageRef

SIDE = 128  # pixels: large enough to tell two products apart


class PageImages:
    """Draws images of a data set as data URIs.

    Args:
        dataset: Splits with the columns of the schema.
        left_out: Images that are not to be decoded.
    """

    def __init__(self, dataset: Mapping[str, Dataset], left_out: Collection[ImageRef] = ()) -> None:
        self._splits = undecoded(dataset)
        self._left_out = left_out

    def data_uri(self, image: ImageRef) -> str | None:
        """Return an image, fitted into a square of `SIDE` pixels, as a `data:` URI; `None` if there is no picture."""
        if image in self._left_out:
            return None
        try:
            picture = read_image(self._splits[image.split][image.row]["image"], short_side=SIDE)
        except ValueError:  # the finding says why
            return None
        picture.thumbnail((SIDE, SIDE))
        return data_uri(picture)
