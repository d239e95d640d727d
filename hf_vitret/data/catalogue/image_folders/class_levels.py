"""Decide which folder of an image's path is its class."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from ...schema import name_some

if TYPE_CHECKING:
    from collections.abc import Collection

    Folder = tuple[str, ...]  # the names of the folders from the root, or the split, to an image

logger = logging.getLogger(__name__)


def check_class_level(class_level: int | None) -> None:
    """Check that a level is none, 1 or more from above, or -1 or less from below; else raise ValueError."""
    if class_level == 0:
        raise ValueError(
            "expected class_level 1 or more, counted from the root or the split (1: the first folder below it), or -1 "
            "or less, counted from the image (-1: the folder that holds it); got 0"
        )


def name_classes(folders: Collection[Folder], class_level: int | None, source: str) -> dict[Folder, str]:
    """Return the class of the images in each folder.

    Without a level the class is the folder that holds the image. If folders with one name have several parents, this
    is one of several readings: the log says which there are, and where the names look like parts of a larger whole
    (views of a product) it is an error that asks for a level. They do where there are fewer names than parents, and at
    least half of all pairs of a name and a parent exist.

    Args:
        folders: Each folder that holds images, as the names of the folders below the root or the split. A folder
            that occurs in several splits is given once.
        class_level: 1: the first folder below the root or the split; 2: the second; -1: the folder that holds the
            image; -2: the one above it; `None`: -1, with these checks.
        source: The origin of the folders, for the errors.

    Returns:
        Each folder to the name of its class.

    Raises:
        ValueError: A folder is not as deep as the level; or the names of the folders look like parts of classes.
    """
    if class_level is None:
        _check_names(folders, source)
    level = -1 if class_level is None else class_level
    deep = level if level > 0 else -level
    shallow = sorted("/".join(folder) for folder in folders if len(folder) < deep)
    if shallow:
        raise ValueError(
            f"{source}: class_level={level}, but these folders with images are not {deep} levels deep: "
            f"{name_some(shallow)}; move their images into a folder of their class, or choose another level"
        )
    position = level - 1 if level > 0 else level
    return {folder: folder[position] for folder in folders}


def describe_levels(folders: Collection[Folder]) -> str:
    """Return each level that can be the class, from above, with the number of its classes and some of their names."""
    depths = {len(folder) for folder in folders}
    levels = [*range(1, min(depths) + (len(depths) > 1)), -1]
    lines = []
    for level in levels:
        names = sorted({folder[level - 1 if level > 0 else level] for folder in folders})
        what = {1: "the first folder", -1: "the folder that holds the image"}.get(level, f"folder {level} of the path")
        lines.append(f"class_level={level}, {what}: {len(names)} classes ({_few(names)})")
    return "; ".join(lines)


def _check_names(folders: Collection[Folder], source: str) -> None:
    """Warn, or raise, if folders with one name have several parents."""
    parents = defaultdict(set)
    for folder in folders:
        parents[folder[-1]].add(folder[:-1])
    several = {name: len(above) for name, above in parents.items() if len(above) > 1}
    if not several:
        return
    num_parents = len({parent for above in parents.values() for parent in above})
    example = max(several, key=lambda name: several[name])
    found = (
        f"{source}: {len(several)} of {len(parents)} folder names are in several folders: {_few(sorted(several))} "
        f"({example!r} in {several[example]} of {num_parents})"
    )
    if len(parents) < num_parents and 2 * len(folders) >= len(parents) * num_parents:
        raise ValueError(
            f"{found}. They look like parts of a class, such as views or shards. Expected class_level, which says what "
            f"is the class (on the command line --class_level N): {describe_levels(folders)}"
        )
    logger.warning(
        "%s. Folders of one name are taken for one class. If that is wrong, name the level: %s. If each of these "
        "folders is a class of its own, rename them or add a metadata.csv",
        found,
        describe_levels(folders),
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" ... and {len(names) - 4} more" if len(names) > 4 else "")
