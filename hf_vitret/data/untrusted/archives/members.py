"""What every file in an archive has to satisfy, whatever the archive's format, before it is given out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, NamedTuple

UNOFFICIAL = "This is not the official archive; nothing was extracted"


class ArchiveError(Exception):
    """What is wrong with an archive, to follow its name: `"has a link"`."""


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        path: Below the archive's top, without `..`.
        content: The bytes, to be read before the next member is asked for; no more than were counted.
        position: Bytes of the archive read up to here, for a bar.
    """

    path: PurePosixPath
    content: IO[bytes]
    position: int


@dataclass
class Limits:
    """Counts what an archive unpacks to, by its own headers, and stops it at a limit.

    Attributes:
        max_members: Largest number of files.
        max_bytes: Largest size of all files together, unpacked.
    """

    max_members: int
    max_bytes: int
    num_members: int = 0
    num_bytes: int = 0

    def count(self, size: int) -> None:
        """Count a file of `size` bytes.

        Raises:
            ArchiveError: It is one too many.
        """
        self.num_members += 1
        self.num_bytes += size
        if self.num_members > self.max_members or self.num_bytes > self.max_bytes:
            raise ArchiveError(
                f"would unpack to more than {self.max_members:,} files or {self.max_bytes:,} bytes, the limits. "
                f"{UNOFFICIAL}"
            )


def check_path(name: str, *, is_folder: bool) -> PurePosixPath:
    """Return the path of a member that lies below the archive's own top, on every operating system.

    Raises:
        ArchiveError: It is absolute or climbs; or would on Windows, where a backslash is a separator, `C:` a drive,
            `x:y` a hidden stream of x, and spaces and dots at the end of a name are not looked at.
    """
    path = PurePosixPath(name)
    climbs = any(part.strip(" .") == "" for part in path.parts)
    is_top = not path.parts and not is_folder
    if path.is_absolute() or climbs or is_top or "\\" in name or ":" in name or "\0" in name:
        raise ArchiveError(f"has a member that would land outside its folder: {name!r}. {UNOFFICIAL}")
    return path


def check_kind(name: str, is_plain: bool) -> None:
    """Check that a member is a file or a folder.

    Raises:
        ArchiveError: It is a link, through which later members would be written elsewhere, a device or the like.
    """
    if not is_plain:
        raise ArchiveError(f"has a member that is a link or a device: {name!r}. {UNOFFICIAL}")
