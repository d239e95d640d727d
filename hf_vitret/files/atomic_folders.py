"""Folders that are whole or not there: written aside, flushed to the disk, then renamed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .atomic_writes import flush

PARTIAL_PREFIX = ".partial-"
OUTDATED_PREFIX = f"{PARTIAL_PREFIX}outdated-"


def begin_folder(target: Path) -> Path:
    """Make an empty folder beside `target`, to write to until `commit_folder` puts it in its place."""
    partial = partial_folder(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def partial_folder(target: Path) -> Path:
    """Name the folder in which `target` is written: the same on every process."""
    return target.with_name(PARTIAL_PREFIX + target.name)


def commit_folder(target: Path) -> None:
    """Rename the folder that `begin_folder` made to `target`, in the place of what was there.

    Its files reach the disk before the rename does, so that a machine that loses its power leaves no empty ones.
    """
    outdated = target.with_name(OUTDATED_PREFIX + target.name)
    partial = partial_folder(target)
    for path in [*partial.rglob("*"), partial]:
        flush(path)
    if target.exists():
        target.rename(outdated)
    partial.rename(target)
    flush(target.parent)
    if outdated.exists():
        shutil.rmtree(outdated)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write to that takes the place of `target` once the block has ended well.

    A process killed inside the block leaves `target` as it was, and beside it a folder that
    `remove_partial_folders` clears away. An exception leaves nothing.
    """
    partial = begin_folder(target)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    commit_folder(target)


def remove_folder(target: Path) -> None:
    """Remove a folder: renamed first, so that a kill in between leaves none with half of its files."""
    shutil.rmtree(partial_folder(target), ignore_errors=True)
    target.rename(partial_folder(target))
    shutil.rmtree(partial_folder(target))


def remove_partial_folders(parent: Path) -> None:
    """Clear away what a killed process had begun to write, or to remove, under `parent`.

    One killed between the two renames of `commit_folder` left no target: what was there before it comes back.
    """
    for outdated in parent.glob(f"{OUTDATED_PREFIX}*"):
        target = outdated.with_name(outdated.name.removeprefix(OUTDATED_PREFIX))
        if not target.exists():
            outdated.rename(target)
    for partial in parent.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(partial)
