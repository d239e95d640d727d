"""Write a file so that it is whole or not there, whatever ends the process: beside it, flushed, then renamed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL_PREFIX = ".partial-"


def partial_path(path: Path) -> Path:
    """Return the hidden path beside `path` where its content is written: the same on every process."""
    return path.with_name(PARTIAL_PREFIX + path.name)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, the file there takes the place of `path`.

    The content reaches the disk before the rename. After an exception in the block `path` is as it was, and nothing is
    left beside it. A process that is killed leaves the partial file, which the next call overwrites.

    Args:
        path: The file to make or to replace. Its folder must exist.
    """
    partial = partial_path(path)
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_text(path: Path, content: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(content, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, have reached the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
