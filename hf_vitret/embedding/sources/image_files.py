"""`file_source`: image files on this machine, with a fixed number of files per shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...data.catalogue.image_files import reason_of, require_utf8
from ...data.catalogue.left_out import LeftOut
from ...data.schema import name_some
from .source import ImageSource, SourceRow, SourceShard, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LABEL_COLUMN = "label"


def file_source(
    root: Path, files: Sequence[Path], name: str, shard_size: int, left_out: LeftOut | None = None
) -> ImageSource:
    """Return a source of image files below a root folder; `image_id` and `path` are their path in this folder.

    If an image is in a subfolder, the source has a column `label`: the name of the folder that directly contains the
    image, as in a folder of class folders. It is null for an image in the root folder itself.

    Args:
        root: The root folder.
        files: The image files, in order.
        name: Name of the source.
        shard_size: Number of images in a shard.
        left_out: The other files below the root folder. Default: none.
    """
    import pyarrow as pa

    parts = [files[first : first + shard_size] for first in range(0, len(files), shard_size)]
    starts = range(0, len(files), shard_size)
    shards = [_shard(root, part, f"{name}[{start}:{start + len(part)}]") for start, part in zip(starts, parts)]
    columns = pa.schema([pa.field(LABEL_COLUMN, pa.string())] if any(file.parent != root for file in files) else [])
    return ImageSource(name, shards, columns, root, tuple(files), left_out or LeftOut())


def check_images(root: Path, files: Sequence[Path], name: str) -> None:
    """Check that files named by a pattern are images that can be decoded.

    Args:
        root: The folder to name them from.
        files: The files.
        name: Name of the source.

    Raises:
        ValueError: Some are not, or have paths that are not UTF-8; the message names them and says why.
    """
    require_utf8([file.relative_to(root).as_posix() for file in files], name)
    reasons = {file.relative_to(root).as_posix(): reason_of(file) for file in files}
    other = [f"{path} ({reason.text})" for path, reason in reasons.items() if reason is not None]
    if other:
        raise ValueError(
            f"{name}: expected images; got {name_some(other)}, {len(other)} of {len(files)} files: leave them out"
        )


def label_of(file: Path, root: Path) -> str | None:
    """Return the name of the folder that directly contains a file; `None` if that is `root`."""
    return None if file.parent == root else file.parent.name


def _shard(root: Path, files: Sequence[Path], name: str) -> SourceShard:
    paths = [file.relative_to(root).as_posix() for file in files]

    def read() -> Iterator[SourceRow]:
        for path, file in zip(paths, files):
            stored = {"bytes": None, "path": str(file)}
            yield SourceRow(path, path, stored, {LABEL_COLUMN: label_of(file, root)})

    content = "\n".join(f"{path}\t{_size(file)}" for path, file in zip(paths, files))
    return SourceShard(name, digest_of(content), read, len(files))


def _size(file: Path) -> int:
    """Return the size of a file in bytes, or -1 for a broken link, whose image is then listed as a bad image."""
    return file.stat().st_size if file.exists() else -1
