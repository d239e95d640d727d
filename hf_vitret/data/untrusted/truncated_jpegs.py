"""JPEG files that end too early, as some of the official ones do: made readable as far as they go.

With `ImageFile.LOAD_TRUNCATED_IMAGES`, which the official programs set, Pillow adds the mark of a JPEG's end where the
file has none. That setting is the whole process's; here the mark is added to the bytes of just these files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

START = b"\xff\xd8"
END = b"\xff\xd9"


def completed(content: bytes) -> bytes:
    """Return a JPEG file with its end mark added if it is missing; what is no JPEG comes back as it is."""
    return content + END if content.startswith(START) and not content.endswith(END) else content


def stored_image(path: Path) -> dict[str, Any]:
    """Return an image as `datasets.Image` stores it: by its path, or by its bytes where its end is missing.

    Two bytes are read at each end, and the whole file only where it has to be.
    """
    with path.open("rb") as file:
        start = file.read(len(START))
        if start == START:
            file.seek(-len(END), 2)
            if file.read() != END:
                return {"bytes": completed(path.read_bytes()), "path": None}
    return {"bytes": None, "path": str(path)}
