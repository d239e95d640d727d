"""`FoundImages`: open the images that a search found, only from the folder that was embedded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...data.images import read_image

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image


class FoundImages:
    """Open images by the paths in an index.

    Args:
        folder: Folder relative to which the paths are. A path that leads out of it is not opened, because the index can
            be from someone else. None: no image is opened.
        side: Side in pixels of the square into which an image is fitted.

    Raises:
        FileNotFoundError: There is no such folder.
    """

    def __init__(self, folder: str | PathLike[str] | None, side: int) -> None:
        self._folder = None if folder is None else Path(folder).resolve()
        if self._folder is not None and not self._folder.is_dir():
            raise FileNotFoundError(f"expected the folder of the images that were embedded; {folder} is none")
        self._side = side

    def found(self, path: str | None) -> Image.Image | None:
        """Return an image of the index as RGB; None if there is no such file or it cannot be read."""
        if self._folder is None or not path:
            return None
        try:
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder) or not file.is_file():
                return None
        except (ValueError, OSError):  # an invalid path, such as one with a null byte or a very long one
            return None
        return self.query(file)

    def query(self, path: str | PathLike[str]) -> Image.Image | None:
        """Return an image that the user named as RGB; None if it cannot be read."""
        try:
            image = read_image({"bytes": None, "path": str(path)}, short_side=self._side)
        except ValueError:
            return None
        image.thumbnail((self._side, self._side))
        return image
