"""Extract an archive safely: no file outside the target folder, no half-extracted folder, no more than the limits."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ....files.atomic_folders import whole_folder
from ....files.locks import one_process
from ...schema import name_some
from .members import UNOFFICIAL, ArchiveError, Limits, Member
from .tar_members import TAR_DAMAGE, tar_members
from .zip_members import ZIP_DAMAGE, zip_members

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

MAX_MEMBERS = 1_000_000  # the largest archive, iNaturalist 2018, has 461,939 images
MAX_BYTES = 20 * 2**30  # limit of the extracted size; Stanford Online Products takes about 3 GiB
ZIP_MAGIC = b"PK"
MACOS_FOLDER, MACOS_PREFIX = "__MACOSX", "._"


def extract_archive(
    archive: Path, target: Path, root: str, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS
) -> Path:
    """Extract the folder `root` of a zip or tar archive to `target`, completely or not at all.

    The members are written to a folder beside `target`, which is renamed at the end. An interrupted call can therefore
    be repeated; it removes what the interrupted one has left. If several processes call the function at the same time,
    one extracts and the others wait for it.

    Args:
        archive: A zip file, a tar file or a gzipped tar file; its name does not matter.
        target: The folder to make. If it exists, nothing is done.
        root: The top folder inside the archive. Members outside it and the metadata of macOS (`__MACOSX`, `._*`) are
            left out.
        max_bytes: Largest size of all members together after extraction.
        max_members: Largest number of members.

    Returns:
        `target`.

    Raises:
        ValueError: The file is no archive, is damaged, cut off or encrypted; a member has an absolute path or one with
            `..`, is a link or a device, or is there twice; the limits are exceeded; there is no folder `root`.
    """
    with begin_extraction(target) as partial:
        if partial is not None:
            try:
                _extract(archive, partial, root, Limits(max_members, max_bytes))
            except ArchiveError as error:
                raise ValueError(f"{archive} {error}") from error
            except (*ZIP_DAMAGE, *TAR_DAMAGE) as error:
                raise ValueError(_damage(archive, error)) from error
    return target


@contextmanager
def begin_extraction(target: Path) -> Iterator[Path | None]:
    """Yield the folder to extract to, or `None` if `target` exists.

    The folder becomes `target` when the block ends without an exception. If several processes begin at the same time,
    one extracts and the others wait for it.

    Args:
        target: The folder to make.

    Yields:
        A new folder beside `target`, or `None`.
    """
    if target.exists():
        yield None
        return
    with one_process(target):
        if target.exists():  # made by the process that held the lock before
            yield None
            return
        with whole_folder(target) as partial:
            yield partial


def _extract(archive: Path, folder: Path, root: str, limits: Limits) -> None:
    """Write the members below `root` into a folder, by their paths inside `root`."""
    from tqdm.auto import tqdm

    tops, is_there = set(), False
    with tqdm(total=archive.stat().st_size, desc=f"Extracting {archive.name}", unit="B", unit_scale=True) as bar:
        for member in _members(archive, limits):
            tops.add(member.path.parts[0])
            if member.path.parts[0] == root and len(member.path.parts) > 1 and not _is_macos(member.path):
                _write(member, folder / member.path.relative_to(root))
                is_there = True
            bar.update(member.position - bar.n)
    if not is_there:
        raise ArchiveError(f"has no folder {root!r}; at its top are: {name_some(sorted(tops)) or 'nothing'}")


def _members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files of an archive, whose format its first bytes show."""
    with archive.open("rb") as stream:
        is_zip = stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    return (zip_members if is_zip else tar_members)(archive, limits)


def _is_macos(path: PurePosixPath) -> bool:
    return MACOS_FOLDER in path.parts or path.name.startswith(MACOS_PREFIX)


def _write(member: Member, path: Path) -> None:
    """Write a member to a new path. A file system may treat `A` and `a` as one path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = path.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"has two members of one path, {str(member.path)!r}. {UNOFFICIAL}") from error
    with sink:
        shutil.copyfileobj(member.content, sink)


def _damage(archive: Path, error: Exception) -> str:
    """Return the message for a file that cannot be read as an archive. Downloads often save a web page instead."""
    with archive.open("rb") as stream:
        is_page = stream.read(64).lstrip().startswith(b"<")
    if is_page:
        return f"{archive} is a web page and no archive: open it in a browser to see what the download asks for"
    return (
        f"{archive} is no zip or tar archive, or is damaged ({type(error).__name__}: {error}): was the download cut "
        "off? Download it again"
    )
