"""Read the files in a tar archive, gzipped or not. Each is checked when it is reached: earlier its size is unknown."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from .members import UNOFFICIAL, ArchiveError, Limits, Member, check_kind, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from pathlib import Path

# Exceptions that a damaged archive raises. The last is from a long chain of headers without a file.
TAR_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, RecursionError)
GZIP_MAGIC = b"\x1f\x8b"
# Limit of one read, also of a header. A header of an official archive has a few kilobytes.
_MAX_READ = 16 * 2**20


def tar_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files in a tar archive.

    Args:
        archive: A tar file or a gzipped tar file.
        limits: Counts the files.

    Yields:
        Each file, in the order of the archive.

    Raises:
        ArchiveError: A member that was reached has an unsafe path, is neither file nor folder, or exceeds the limits.
        Exception: One of `TAR_DAMAGE`, also while the content of a member is read.
    """
    with archive.open("rb") as raw:
        is_zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        unzipped: Any = gzip.GzipFile(fileobj=raw) if is_zipped else raw
        reads: Any = _BoundedReads(unzipped)
        with tarfile.open(fileobj=reads, mode="r:") as opened:
            for info in opened:
                path = check_path(info.name, is_folder=info.isdir())
                check_kind(info.name, info.isreg() or info.isdir())
                limits.count(info.size)
                content = opened.extractfile(info)
                if content is not None:
                    yield Member(path, content, raw.tell())
                opened.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps every header
            _check_end(reads)


@contextmanager
def named_damage(archive: str | PathLike[str]) -> Iterator[None]:
    """Turn the exceptions of `tar_members` into a `ValueError` that names the archive.

    Args:
        archive: The path to name.

    Raises:
        ValueError: The block raised `ArchiveError` or one of `TAR_DAMAGE`.
    """
    try:
        yield
    except ArchiveError as error:
        raise ValueError(f"{archive} {error}") from error
    except TAR_DAMAGE as error:
        raise ValueError(
            f"{archive} is no tar archive, or is damaged ({type(error).__name__}: {error}): was the download cut off? "
            "Download it again"
        ) from error


class _BoundedReads:
    """A file that refuses large reads: a header may claim any length, and a few bytes of gzip give gigabytes of zeros.

    Attributes:
        last: The bytes of the last read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise ArchiveError(f"has a header of {size:,} bytes. {UNOFFICIAL}")
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _check_end(reads: _BoundedReads) -> None:
    """Check that the archive has its end marker: `tarfile` also stops at a header that is cut off or broken.

    The padding after the marker is read too, so that gzip compares its checksum.
    """
    if reads.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end marker")
    for _ in range(_MAX_READ // tarfile.RECORDSIZE):
        if not reads.read(tarfile.RECORDSIZE):
            return
    raise ArchiveError(f"goes on for more than {_MAX_READ:,} bytes after its end. {UNOFFICIAL}")
