"""The formats of a checkpoint besides its own: sentence-transformers and ONNX."""

from __future__ import annotations

from pathlib import Path

# Name of the format in `results.json` and in the card's template -> the file whose presence shows the format.
FORMATS = {"sentence-transformers": "modules.json", "onnx": "onnx/model.onnx"}


def formats_in(folder: Path) -> list[str]:
    """List the further formats in which a checkpoint was exported: the value of `results["formats"]`.

    Args:
        folder: The folder of the checkpoint and its exports.

    Returns:
        The keys of `FORMATS` whose files are in the folder.
    """
    return [name for name, file in FORMATS.items() if (Path(folder) / file).is_file()]
