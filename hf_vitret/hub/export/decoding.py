"""Copy the code that decodes images beside an exported program, which then decodes as the package does."""

from __future__ import annotations

from pathlib import Path

from ... import models
from ...files.atomic_writes import write_text

FOLDER = "decoding"
MODULES = ("image_decoding", "image_formats", "color_profiles")


def write_decoding(folder: Path) -> list[Path]:
    """Write the Python package `decoding` into a folder: the modules of `hf_vitret.models` that decode images.

    Args:
        folder: The folder of a program that imports `decoding.image_decoding` and does not need this package.

    Returns:
        The paths of the files.
    """
    package, source = folder / FOLDER, Path(str(models.__file__)).parent
    package.mkdir(exist_ok=True)
    written = [package / "__init__.py", *(package / f"{name}.py" for name in MODULES)]
    write_text(written[0], '"""Decode images as hf_vitret does."""\n')
    for path in written[1:]:
        write_text(path, (source / path.name).read_text(encoding="utf-8"))
    return written
