"""A source of images: shards that can each be read on their own, and again, in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shards import EMBEDDING_COLUMN, ID_COLUMN, PATH_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa

RESERVED = (ID_COLUMN, PATH_COLUMN, EMBEDDING_COLUMN)


@dataclass(frozen=True)
class SourceRow:
    """One image, not read yet or not decoded yet.

    Attributes:
        image_id: Unique in the source.
        path: Relative to the source's top, with forward slashes; empty where it has none.
        stored: As for `read_image`: `bytes` or else `path`; `None` where there is no image.
        columns: What travels along, by name.
    """

    image_id: str
    path: str
    stored: Mapping[str, Any] | None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceShard:
    """A part of a source, of which one shard of embeddings is made.

    Attributes:
        name: For people; no path of this machine.
        content: What tells this part from one that has changed: sizes, paths, a commit.
        read: Yields its rows in order, each time it is called.
        num_rows: Number of rows, where that is known before reading.
    """

    name: str
    content: str
    read: Callable[[], Iterator[SourceRow]]
    num_rows: int | None = None


@dataclass(frozen=True)
class ImageSource:
    """Images in shards.

    Attributes:
        name: For people; no path of this machine.
        shards: In order.
        columns: Arrow schema of what travels along.
        root: Folder of this machine that the rows' `path` is relative to; `None`: images are in archives, in Parquet
            files or on the Hub.
        files: Files of this machine that the images are read from, in order; empty for a data set of the Hub.
    """

    name: str
    shards: list[SourceShard]
    columns: pa.Schema
    root: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the shards' names and contents, in hexadecimal, and of the columns' names and types."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{shard.name}\n{shard.content}\n".encode("utf-8", "surrogateescape"))
        digest.update(str([(column.name, str(column.type)) for column in self.columns]).encode())
        return digest.hexdigest()


def require_rows(source: ImageSource) -> ImageSource:
    """Require at least one shard.

    Raises:
        ValueError: There is none.
    """
    if not source.shards:
        raise ValueError(f"expected images to embed in {source.name}; found none")
    return source


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal: what is long is not kept for a comparison."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
