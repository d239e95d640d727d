"""List the image files below a folder, and log the files that are left out."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..images import IMAGE_SUFFIXES
from ..schema import name_some

logger = logging.getLogger(__name__)


def find_images(folder: Path) -> list[Path]:
    """List the images below a folder, sorted, and log what is left out.

    Hidden files (with a leading dot, such as `._*` of macOS and `.DS_Store`) and files that are no images (`Thumbs.db`,
    `notes.txt`) are left out and counted; hidden folders are left out. Links to folders are followed, but each real
    folder is read once.

    Args:
        folder: The folder.

    Returns:
        The paths of the images, which begin with `folder`.
    """
    images, skipped, empty, seen = [], [], [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        is_image = {name: _has_image_name(name) for name in files}
        images += [Path(parent, name) for name in files if is_image[name]]
        skipped += [name for name in files if not is_image[name]]
        if not folders and not any(is_image.values()):
            empty.append(os.path.relpath(parent, folder))
    if skipped:
        logger.warning("%s: left out %d files that are no images: %s", folder, len(skipped), name_some(skipped))
    if empty:
        logger.warning("%s: left out %d folders without images: %s", folder, len(empty), name_some(empty))
    return sorted(images)


def _has_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
