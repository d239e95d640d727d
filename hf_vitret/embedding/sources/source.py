"""`ImageSource`: images in shards, each of which can be read alone, several times, and in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.catalogue.left_out import LeftOut
from ..shards import EMBEDDING_COLUMN, ID_COLUMN, PATH_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa

RESERVED = (ID_COLUMN, PATH_COLUMN, EMBEDDING_COLUMN)


@dataclass(frozen=True)
class SourceRow:
    """One image, not decoded and possibly not read.

    Attributes:
        image_id: Id, unique in the source.
        path: Path relative to the root folder of the source, with forward slashes; empty if there is none.
        stored: A dict with the encoded image as `bytes`, or else its file as `path`; `None` if there is no image.
        columns: Metadata by column.
    """

    image_id: str
    path: str
    stored: Mapping[str, Any] | None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceShard:
    """A part of a source, from which one shard of embeddings is made.

    Attributes:
        name: Name for messages, without a path of this machine.
        content: Description that changes if the content changes: sizes, paths, a commit.
        read: Function that yields the rows in order each time it is called.
        num_rows: Number of rows, if it is known before reading.
        left_out: The files of an archive that are not used; it is filled while the rows are read.
    """

    name: str
    content: str
    read: Callable[[], Iterator[SourceRow]]
    num_rows: int | None = None
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)


@dataclass(frozen=True)
class ImageSource:
    """Images in shards.

    Attributes:
        name: Name for messages, without a path of this machine.
        shards: The shards, in order.
        columns: Arrow schema of the metadata.
        root: Folder on this machine relative to which the `path` of a row is; `None` for images in archives, in Parquet
            files or on the Hub.
        files: Files on this machine from which the images are read, in order; empty for a data set of the Hub.
        left_out: The files of a folder or pattern that are not used.
    """

    name: str
    shards: list[SourceShard]
    columns: pa.Schema
    root: Path | None = None
    files: tuple[Path, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names and contents of the shards and of the names and types of the columns, in hexadecimal."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{shard.name}\n{shard.content}\n".encode("utf-8", "surrogateescape"))
        digest.update(str([(column.name, str(column.type)) for column in self.columns]).encode())
        return digest.hexdigest()


def require_rows(source: ImageSource) -> ImageSource:
    """Check that a source has at least one shard, and return it.

    Raises:
        ValueError: It has none.
    """
    if not source.shards:
        left_out = "".join(f"; left out {line}" for line in source.left_out.only_images().lines())
        raise ValueError(f"expected images to embed in {source.name}; found none{left_out}")
    return source


def digest_of(text: str) -> str:
    """Return the SHA-256 of a string in hexadecimal, which is compared in place of a long string."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
