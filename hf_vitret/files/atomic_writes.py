"""Files that are whole or not there, whatever ends the process: written aside, flushed to the disk, then renamed."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASIDE = ".writing-"


def aside(path: Path) -> Path:
    """Name the file in which the content of `path` is written until it is whole."""
    return path.with_name(ASIDE + path.name)


def put_in_place(path: Path) -> None:
    """Flush what was written aside to the disk and give it its name, in the place of what was there."""
    flush(aside(path))
    aside(path).replace(path)
    flush(path.parent)


def write_whole(path: Path, content: str) -> None:
    """Write a text file, in UTF-8."""
    aside(path).write_text(content, encoding="utf-8")
    put_in_place(path)


@contextmanager
def one_process(work: Path) -> Iterator[None]:
    """Let one process at a time make the folder `work`; the others wait. A killed one holds nothing up."""
    from filelock import FileLock

    lock = work.with_name(f"{work.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            # Who waits for it takes a new one, and finds what was made.
            with suppress(PermissionError):  # Windows removes no file that is open, and filelock does it there
                lock.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
