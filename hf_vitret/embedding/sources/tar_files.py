"""`tar_source`: tar archives of images in the layout of WebDataset, read as streams without extraction."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...data.catalogue.file_kinds import OTHER, find_reason
from ...data.catalogue.left_out import LeftOut, report
from ...data.untrusted.archives.members import Limits
from ...data.untrusted.archives.tar_members import named_damage, tar_members
from ...models.image_formats import SNIFFED_BYTES
from .source import ImageSource, SourceRow, SourceShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...data.catalogue.left_out import Reason
    from ...data.untrusted.archives.members import Member

logger = logging.getLogger(__name__)

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
SIDECARS = ("json", "txt", "cls")  # suffixes of the text files that belong to an image in WebDataset
# A stream takes no space on the disk. These limits stop an archive that expands without end.
MAX_MEMBERS, MAX_BYTES, MAX_MEMBER_BYTES = 10**8, 2**44, 2**28
MAX_SAMPLE_FILES = 32  # in memory at once; a sample has few files


def is_tar(file: Path) -> bool:
    """Return whether a file has the name of a tar archive."""
    return file.name.lower().endswith(TAR_SUFFIXES)


def tar_source(root: Path, files: Sequence[Path], name: str) -> ImageSource:
    """Return a source of the images in tar archives, with the ids `<archive>/<member>`.

    The files `a/7.json`, `a/7.txt` and `a/7.cls` are text metadata of `a/7.jpg`. The columns are those that the first
    sample of the first archive has. A member is an image by the rule of folders (`find_reason`), and the others are
    counted in `left_out` of the shard while it is read; the names of folders in an archive do not matter.

    Raises:
        ValueError: The first archive is damaged or unsafe.
    """
    import pyarrow as pa

    with named_damage(files[0]):
        first = next(_samples(files[0], LeftOut()), [])
    found = {_extension(member.path) for member, _ in first}
    columns = pa.schema([(sidecar, pa.string()) for sidecar in SIDECARS if sidecar in found])
    return ImageSource(name, [_shard(root, file, columns.names) for file in files], columns, None, tuple(files))


def _shard(root: Path, file: Path, columns: list[str]) -> SourceShard:
    relative, left_out = file.relative_to(root).as_posix(), LeftOut()

    def read() -> Iterator[SourceRow]:
        left_out.clear()
        with named_damage(file):
            for sample in _samples(file, left_out):
                beside = {_extension(member.path): content for member, content in sample}
                texts = {name: _text(beside.get(name)) for name in columns}
                reasons = [_reason(member, content) for member, content in sample]
                has_image = not all(reasons)
                for (member, content), reason in zip(sample, reasons):
                    if reason is None:
                        path = f"{relative}/{member.path}"
                        yield SourceRow(path, path, {"bytes": content, "path": None}, texts)
                    elif not (has_image and _extension(member.path) in columns):
                        left_out.add(reason, str(member.path))
        report(left_out, relative, logger)

    return SourceShard(relative, f"{file.stat().st_size}", read, left_out=left_out)


def _samples(archive: Path, left_out: LeftOut) -> Iterator[list[tuple[Member, bytes]]]:
    """Yield consecutive files whose names are the same up to the first dot, with their contents.

    A file is cut at `MAX_MEMBER_BYTES`, so that no decoder takes a larger file for an image. Hidden files are counted
    in `left_out`.
    """

    def members() -> Iterator[tuple[Member, bytes]]:
        for member in tar_members(archive, Limits(MAX_MEMBERS, MAX_BYTES)):
            content = member.content.read(MAX_MEMBER_BYTES)
            if member.path.name.startswith("."):
                left_out.add(_reason(member, content) or OTHER, str(member.path))
            else:
                yield member, content

    for _, sample in itertools.groupby(members(), key=lambda pair: pair[0].path.parent / _key(pair[0].path)):
        while part := list(itertools.islice(sample, MAX_SAMPLE_FILES)):
            yield part


def _reason(member: Member, content: bytes) -> Reason | None:
    return find_reason(member.path.name, lambda: content[:SNIFFED_BYTES])


def _key(path: PurePosixPath) -> str:
    return path.name.partition(".")[0]


def _extension(path: PurePosixPath) -> str:
    return path.name.partition(".")[2].lower()


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")
