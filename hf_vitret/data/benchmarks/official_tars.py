"""Extract tar archives of images whose folders do not matter: the path of each file follows from its name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ..untrusted.archives.extraction import MACOS_PREFIX, MAX_MEMBERS, begin_extraction
from ..untrusted.archives.members import UNOFFICIAL, ArchiveError, Limits
from ..untrusted.archives.tar_members import named_damage, tar_members
from .official_files import is_relative

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_BYTES = 100 * 2**30  # limit of the extracted size of all archives together; the largest, SfM-120k, has tens of GiB


def extract_by_name(archives: Sequence[Path], target: Path, path_of: Callable[[str], str]) -> Path:
    """Extract the files of tar archives to `target`, all of them or none, whatever folders of the archive they are in.

    The files are written to a folder beside `target`, which is renamed at the end. If several processes call the
    function at the same time, one extracts and the others wait for it.

    Args:
        archives: Tar files, gzipped or not. All their files go to the same folder.
        target: The folder to make. If it exists, nothing is done.
        path_of: Returns the path below `target` for the name of a file.

    Returns:
        `target`.

    Raises:
        ValueError: An archive is damaged or cut off; a member has an absolute path or one with `..`, or is a link or a
            device; two files would have the same path; the archives exceed `MAX_MEMBERS` files or `MAX_BYTES` bytes.
    """
    with begin_extraction(target) as partial:
        if partial is not None:
            limits = Limits(MAX_MEMBERS, MAX_BYTES)
            for archive in archives:
                _extract(archive, partial, path_of, limits)
    return target


def _extract(archive: Path, folder: Path, path_of: Callable[[str], str], limits: Limits) -> None:
    """Write the files of one archive into a folder."""
    from tqdm.auto import tqdm

    size, name = archive.stat().st_size, f"Extracting {archive.name}"
    with named_damage(archive), tqdm(total=size, desc=name, unit="B", unit_scale=True) as bar:
        for member in tar_members(archive, limits):
            if not member.path.name.startswith(MACOS_PREFIX):
                relative = path_of(member.path.name)
                path = folder / relative
                if not is_relative(relative) or path.exists():
                    raise ArchiveError(f"has two files, or a file of no name, for the path {relative!r}. {UNOFFICIAL}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as sink:
                    shutil.copyfileobj(member.content, sink)
            bar.update(member.position - bar.n)
