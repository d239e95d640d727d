"""Paths of the model and of the images of a folder of embeddings or of an index, on this machine.

In files the paths are relative to the folder, so that they stay valid if all folders are moved together; in memory they
are absolute. A model or a data set of the Hub has no path: its id is in the manifest. A folder of embeddings has its
paths in a separate file, so that its manifest is the same on every machine on which the same images were embedded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..files.json_values import read_json, write_json

LOCATIONS = ("model", "images")
LOCATIONS_NAME = "locations.json"


def write_locations(folder: Path, model: Path | None, images: Path | None) -> None:
    """Write `locations.json` into a folder of embeddings.

    Args:
        folder: The folder of embeddings.
        model: Folder of the model; `None` if it is not on this machine.
        images: Folder of the images; `None` if they are not on this machine.
    """
    known = {name: str(path) for name, path in zip(LOCATIONS, (model, images)) if path is not None}
    write_json(folder / LOCATIONS_NAME, relative_locations(known, folder))


def read_locations(folder: Path) -> dict[str, str]:
    """Return the absolute paths that `write_locations` wrote, by name; empty if an earlier release wrote the folder.

    Raises:
        ValueError: The file is damaged.
    """
    path = folder / LOCATIONS_NAME
    if not path.is_file():
        return {}
    try:
        return absolute_locations(read_json(path), folder)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove the file, or repeat hf-vitret embed") from error


def relative_locations(locations: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return absolute locations as paths relative to a folder, with forward slashes, to be stored in a file in it."""
    return {name: _relative(Path(path), folder.resolve()) for name, path in locations.items()}


def absolute_locations(stored: object, folder: Path) -> dict[str, str]:
    """Return locations that were read from a file in a folder as absolute paths.

    Raises:
        TypeError: `stored` is not a mapping from the known names to strings.
    """
    if not isinstance(stored, Mapping) or not all(isinstance(path, str) for path in stored.values()):
        raise TypeError(f"expected locations as strings, by name; got {stored!r}")
    if unknown := sorted(set(stored) - set(LOCATIONS)):
        raise TypeError(f"expected locations of {' and '.join(LOCATIONS)}; got {unknown[0]}")
    return {name: os.path.normpath(folder.resolve() / path) for name, path in stored.items()}


def _relative(path: Path, folder: Path) -> str:
    path = path.resolve()
    if path.anchor != folder.anchor:  # on another drive of Windows
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()
