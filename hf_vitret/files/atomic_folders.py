"""Write a folder so that it is whole or not there: beside it, flushed, then renamed."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .atomic_writes import PARTIAL_PREFIX, flush, partial_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTDATED_PREFIX = f"{PARTIAL_PREFIX}outdated-"


def begin_folder(target: Path) -> Path:
    """Make an empty folder beside `target`, at `partial_path(target)`, until `commit_folder` puts it in its place."""
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def commit_folder(target: Path) -> None:
    """Rename the folder that `begin_folder` made to `target`, in the place of what was there.

    Its files reach the disk before the rename, so that a machine that loses its power keeps no empty ones. No system
    replaces one folder by another in a single step, so the old one is renamed first: `readable_folder` finds it, and
    `remove_partials` restores it, when the process is killed between the two renames.
    """
    outdated, partial = _outdated_path(target), partial_path(target)
    for path in [*partial.rglob("*"), partial]:
        flush(path)
    shutil.rmtree(outdated, ignore_errors=True)
    if target.exists():
        target.rename(outdated)
    partial.rename(target)
    flush(target.parent)
    with suppress(FileNotFoundError, PermissionError):  # Windows removes no file that is mapped into memory
        shutil.rmtree(outdated)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; when the block ends well, it takes the place of `target`.

    After an exception in the block `target` is as it was, and nothing is left beside it. A process that is killed
    leaves the partial folder, which the next call and `remove_partials` clear away.

    Args:
        target: The folder to make or to replace. Folders above it are made.
    """
    partial = begin_folder(target)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    commit_folder(target)


def readable_folder(target: Path) -> Path:
    """Return `target`, or the folder that held its content when a process was killed inside `commit_folder`."""
    outdated = _outdated_path(target)
    return outdated if outdated.exists() and not target.exists() else target


def remove_folder(target: Path) -> None:
    """Remove a folder: renamed first, so that a kill in between leaves none with half of its files."""
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)
    target.rename(partial)
    shutil.rmtree(partial)


def remove_partials(parent: Path) -> None:
    """Clear away what a killed process had begun to write, or to remove, in a folder.

    A process that was killed between the two renames of `commit_folder` left no target: its former content is restored.
    """
    for outdated in parent.glob(f"{OUTDATED_PREFIX}*"):
        target = outdated.with_name(outdated.name.removeprefix(OUTDATED_PREFIX))
        if not target.exists():
            outdated.rename(target)
    for partial in parent.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def _outdated_path(target: Path) -> Path:
    return target.with_name(OUTDATED_PREFIX + target.name)
