"""Checks of every member of an archive, of any format, before its content is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, NamedTuple

UNOFFICIAL = "This is not the official archive; nothing was extracted"


class ArchiveError(Exception):
    """What is wrong with an archive. The text continues a sentence that begins with its name: `"has a link"`."""


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        path: Relative path in the archive, without `..`.
        content: Stream of the bytes. Read it before you take the next member. It has no more bytes than were counted.
        position: Number of bytes of the archive read so far, for a progress bar.
    """

    path: PurePosixPath
    content: IO[bytes]
    position: int


@dataclass
class Limits:
    """Counts the files and bytes that an archive extracts to, from its headers, and raises at a limit.

    Attributes:
        max_members: Largest number of files.
        max_bytes: Largest size of all files together after extraction.
        num_members: Number of files counted so far.
        num_bytes: Size of these files.
    """

    max_members: int
    max_bytes: int
    num_members: int = 0
    num_bytes: int = 0

    def count(self, size: int) -> None:
        """Count a file of `size` bytes.

        Raises:
            ArchiveError: The files or bytes exceed a limit.
        """
        self.num_members += 1
        self.num_bytes += size
        if self.num_members > self.max_members or self.num_bytes > self.max_bytes:
            raise ArchiveError(
                f"would unpack to more than {self.max_members:,} files or {self.max_bytes:,} bytes, the limits. "
                f"{UNOFFICIAL}"
            )


def check_path(name: str, *, is_folder: bool) -> PurePosixPath:
    """Return the path of a member, if it stays below the top of the archive on every operating system.

    Args:
        name: The path in the archive.
        is_folder: Whether the member is a folder. Only a folder may have the path of the top itself.

    Raises:
        ArchiveError: The path is absolute or has `..`; or it would be on Windows, where a backslash is a separator,
            `C:` is a drive, `x:y` is a hidden stream of `x`, and spaces and dots at the end of a name are ignored.
    """
    path = PurePosixPath(name)
    climbs = any(part.strip(" .") == "" for part in path.parts)
    is_top = not path.parts and not is_folder
    if path.is_absolute() or climbs or is_top or "\\" in name or ":" in name or "\0" in name:
        raise ArchiveError(f"has a member that would land outside its folder: {name!r}. {UNOFFICIAL}")
    return path


def check_kind(name: str, is_plain: bool) -> None:
    """Check that a member is a file or a folder.

    Args:
        name: The path in the archive, for the error.
        is_plain: Whether the headers say that it is a file or a folder.

    Raises:
        ArchiveError: It is a link, through which later members could be written elsewhere, a device or the like.
    """
    if not is_plain:
        raise ArchiveError(f"has a member that is a link or a device: {name!r}. {UNOFFICIAL}")
