"""Small images of a data set as data URIs, to embed in an HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....data.images import read_image
from ....data.page_pictures import data_uri
from ..checks.image_table import undecoded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from datasets import Dataset

    from ..findings import ImageRef

SIDE = 128  # pixels, large enough to distinguish two products


class PageImages:
    """The images of a data set as data URIs.

    Args:
        dataset: Splits with the columns `image`, `label` and `image_id`.
        left_out: Images that are not decoded. Default: none.
    """

    def __init__(self, dataset: Mapping[str, Dataset], left_out: Collection[ImageRef] = ()) -> None:
        self._splits = undecoded(dataset)
        self._left_out = left_out

    def data_uri(self, image: ImageRef) -> str | None:
        """Return an image, fitted into a square of `SIDE` pixels, as a `data:` URI.

        Args:
            image: The image.

        Returns:
            The URI; `None` if the image is left out or cannot be read.
        """
        if image in self._left_out:
            return None
        try:
            picture = read_image(self._splits[image.split][image.row]["image"], short_side=SIDE)
        except ValueError:  # a finding of its own gives the reason
            return None
        picture.thumbnail((SIDE, SIDE))
        return data_uri(picture)
