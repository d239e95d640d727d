"""Thumbnails of the images of an index, requested by row, so that clients neither send nor see paths."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ...data.page_pictures import as_jpeg
from ...indexing.results.answers import PATH_COLUMN
from ...indexing.results.found_images import FoundImages

if TYPE_CHECKING:
    from os import PathLike

    from ...indexing.image_index import ImageIndex

SIDE = 320  # pixels, twice the size on the page, for screens of high resolution
NUM_KEPT = 1_000  # thumbnails in the cache, of about 15 kB each


class Thumbnails:
    """Thumbnails of the images of an index as JPEG files. No other image can be read.

    Args:
        index: The index, whose column `path` has the paths of the images.
        folder: The folder that the paths are relative to. `None` serves no thumbnails.

    Attributes:
        are_there: Whether there are thumbnails: whether a folder is given.
        jpeg: A function from a row of the index to its thumbnail as the bytes of a JPEG file, or to `None` if there is
            none. The latest results are cached.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The index has no paths.
    """

    def __init__(self, index: ImageIndex, folder: str | PathLike[str] | None) -> None:
        self._records, self.are_there = index.records, folder is not None
        if self.are_there and PATH_COLUMN not in index.records.table.column_names:
            raise ValueError(
                "expected an index with the column path, to find the images for thumbnails; it has none. Serve without "
                "an image folder"
            )
        self._images = FoundImages(folder, SIDE)
        self.jpeg = lru_cache(NUM_KEPT)(self._jpeg)

    def _jpeg(self, row: int) -> bytes | None:
        """Return the thumbnail at a row of the index; `None` if there is none."""
        if not self.are_there or not 0 <= row < len(self._records) or self._records.is_removed[row]:
            return None
        image = self._images.found(self._records.rows([row])[0][PATH_COLUMN])
        return None if image is None else as_jpeg(image)
