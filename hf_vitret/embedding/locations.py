"""Where the model and the images of a folder of embeddings or of an index lie on this machine.

In the files they are relative to the folder, so that folders that are moved together still find one another; in memory
they are absolute. A model or images of the Hub have no location: their id is in the manifest. Embeddings keep them in a
file of their own: the manifest and its checksum are the same wherever the same images were embedded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..files.json_values import read_json, write_json

LOCATIONS = ("model", "images")
LOCATIONS_NAME = "locations.json"


def write_locations(folder: Path, model: Path | None, images: Path | None) -> None:
    """Write into a folder of embeddings where its model and its images lie; `None`: not on this machine."""
    known = {name: str(path) for name, path in zip(LOCATIONS, (model, images)) if path is not None}
    write_json(folder / LOCATIONS_NAME, relative_locations(known, folder))


def read_locations(folder: Path) -> dict[str, str]:
    """Return what `write_locations` wrote, as absolute paths; empty for a folder of an earlier format.

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
    """Return locations as they are written into a file of a folder: relative to it, with forward slashes."""
    return {name: _relative(Path(path), folder.resolve()) for name, path in locations.items()}


def absolute_locations(stored: object, folder: Path) -> dict[str, str]:
    """Return locations that were read from a file of a folder.

    Raises:
        TypeError: They are no mapping of the known names to texts.
    """
    if not isinstance(stored, Mapping) or not all(isinstance(path, str) for path in stored.values()):
        raise TypeError(f"expected locations by name; got {stored!r}")
    if unknown := sorted(set(stored) - set(LOCATIONS)):
        raise TypeError(f"expected locations of {' and '.join(LOCATIONS)}; got {unknown[0]}")
    return {name: os.path.normpath(folder.resolve() / path) for name, path in stored.items()}


def _relative(path: Path, folder: Path) -> str:
    path = path.resolve()
    if path.anchor != folder.anchor:  # another drive of Windows
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()
