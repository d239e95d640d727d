"""Let one process at a time make a file or folder."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def one_process(target: Path) -> Iterator[None]:
    """Hold the lock of `target`, the file `<target>.lock` beside it, while the block runs; other processes wait.

    The system releases the lock of a process that is killed.

    Args:
        target: What the block makes. It need not exist; its folder must.
    """
    from filelock import FileLock

    lock = target.with_name(f"{target.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            # A waiting process locks a new file, and then finds what was made.
            with suppress(PermissionError):  # Windows removes no file that is open, and filelock does it there
                lock.unlink(missing_ok=True)
