"""Which ways to load lie in a checkpoint's folder, beside the one that every checkpoint has."""

from __future__ import annotations

from pathlib import Path

# By the name that the card knows it by: the file whose presence says so.
FORMATS = {"sentence-transformers": "modules.json", "onnx": "onnx/model.onnx"}


def formats_in(folder: Path) -> list[str]:
    """Name the formats of a checkpoint: `results["formats"]`.

    Args:
        folder: The checkpoint's folder, with what was exported into it.
    """
    return [name for name, file in FORMATS.items() if (Path(folder) / file).is_file()]
