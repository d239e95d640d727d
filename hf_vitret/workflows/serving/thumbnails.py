"""Small pictures of the images of an index, by their place in it: no path is ever asked for, or told."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ...data.page_pictures import as_jpeg
from ...indexing.results.answers import PATH_COLUMN
from ...indexing.results.found_images import FoundImages

if TYPE_CHECKING:
    from os import PathLike

    from ...indexing.image_index import ImageIndex

SIDE = 320  # pixels: twice those drawn, for sharp screens
NUM_KEPT = 1_000  # at some 15 kB each


class Thumbnails:
    """JPEG files of the images that an index names, and of no others.

    Args:
        index: Its column `path` says where they are.
        folder: That the paths are relative to. None: there are no pictures.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The index has no paths.
    """

    def __init__(self, index: ImageIndex, folder: str | PathLike[str] | None) -> None:
        self._records, self.are_there = index.records, folder is not None
        if self.are_there and PATH_COLUMN not in index.records.table.column_names:
            raise ValueError("expected an index with the column path, for the pictures; it has none: leave them out")
        self._images = FoundImages(folder, SIDE)
        self.jpeg = lru_cache(NUM_KEPT)(self._jpeg)

    def _jpeg(self, row: int) -> bytes | None:
        """Return the picture at a position of the index; None where there is none."""
        if not self.are_there or not 0 <= row < len(self._records) or self._records.is_removed[row]:
            return None
        image = self._images.found(self._records.rows([row])[0][PATH_COLUMN])
        return None if image is None else as_jpeg(image)
