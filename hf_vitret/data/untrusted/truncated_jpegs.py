"""Make JPEG files readable that are cut off, as some of the official ones are: the part that is there is decoded.

With `ImageFile.LOAD_TRUNCATED_IMAGES`, which the official programs set, Pillow adds the end marker to a JPEG file that
has none. That setting applies to the whole process; the functions here add the marker to the bytes of single files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

START = b"\xff\xd8"
END = b"\xff\xd9"


def completed(content: bytes) -> bytes:
    """Add the end marker to the bytes of a JPEG file that has none; return all other bytes unchanged."""
    return content + END if content.startswith(START) and not content.endswith(END) else content


def stored_image(path: Path) -> dict[str, Any]:
    """Return an image in the form in which `datasets.Image` stores it.

    The function reads the first and last two bytes, and the whole file only if its end marker is missing.

    Args:
        path: The file.

    Returns:
        `{"bytes": None, "path": ...}`, or, for a JPEG file without end marker, `{"bytes": ..., "path": None}` with the
        completed bytes.
    """
    with path.open("rb") as file:
        start = file.read(len(START))
        if start == START:
            file.seek(-len(END), 2)
            if file.read() != END:
                return {"bytes": completed(path.read_bytes()), "path": None}
    return {"bytes": None, "path": str(path)}
