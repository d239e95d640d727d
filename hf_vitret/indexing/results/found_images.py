"""The pictures of what was found, from the folder that was embedded, and from nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...data.images import read_image

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image


class FoundImages:
    """Opens images by the paths of an index.

    Args:
        folder: That the paths are relative to. A path that leads out of it is not followed: an index may come from
            somebody else. None: there are no pictures.
        side: Pixels of the square that a picture is fitted into.

    Raises:
        FileNotFoundError: There is no such folder.
    """

    def __init__(self, folder: str | PathLike[str] | None, side: int) -> None:
        self._folder = None if folder is None else Path(folder).resolve()
        if self._folder is not None and not self._folder.is_dir():
            raise FileNotFoundError(f"expected the folder of the images that were embedded; {folder} is none")
        self._side = side

    def found(self, path: str | None) -> Image.Image | None:
        """Return an image of the index, RGB; None where there is no picture, or an unreadable one."""
        if self._folder is None or not path:
            return None
        try:
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder) or not file.is_file():
                return None
        except (ValueError, OSError):  # no path at all, as one with a null byte, or one too long
            return None
        return self.query(file)

    def query(self, path: str | PathLike[str]) -> Image.Image | None:
        """Return an image that a user named, RGB; None where it is unreadable."""
        try:
            image = read_image({"bytes": None, "path": str(path)}, short_side=self._side)
        except ValueError:
            return None
        image.thumbnail((self._side, self._side))
        return image
