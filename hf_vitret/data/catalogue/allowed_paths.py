"""Which files and addresses the rows of a table or data set may name: those of its own folder or repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import MAX_NAMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from datasets import Dataset, IterableDataset

MAX_SHOWN = 80  # characters of a path in a message; a cell may hold a whole image as text
_WRAPPERS = ("zip://", "tar://", "gzip://", "bz2://", "xz://", "zstd://", "lz4://")  # archives, as fsspec names them


@dataclass(frozen=True)
class AllowedPaths:
    """The files and addresses that the rows of one data set may name.

    Attributes:
        folders: Absolute, normalized folders of this machine.
        addresses: Beginnings of the addresses of the data set's own files on the Hub, in lower case.
    """

    folders: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @classmethod
    def of_folder(cls, folder: str | PathLike[str]) -> AllowedPaths:
        """Return the files below a folder of this machine."""
        path = os.path.abspath(folder)  # noqa: PTH100 (`Path.resolve` follows links, `Path.absolute` keeps `..`)
        return cls(tuple({path, os.path.realpath(path)}))

    @classmethod
    def of_hub(cls, dataset_name: str) -> AllowedPaths:
        """Return the files of a data set on the Hub: their addresses, and the copies in the caches."""
        from datasets import config
        from huggingface_hub import constants

        own = Path(constants.HF_HUB_CACHE, f"datasets--{dataset_name.replace('/', '--')}")
        caches = [
            cls.of_folder(path) for path in (own, config.DOWNLOADED_DATASETS_PATH, config.EXTRACTED_DATASETS_PATH)
        ]
        name, endpoint = dataset_name.lower(), config.HF_ENDPOINT.lower()
        starts = (f"hf://datasets/{name}@", f"hf://datasets/{name}/", f"{endpoint}/datasets/{name}/")
        return cls(tuple(folder for cache in caches for folder in cache.folders), starts)

    def holds(self, path: str) -> bool:
        """Return whether a path or address is one of these. A relative path is not: it is relative to no folder.

        Links are not followed: a link below the folder is a decision of the owner of this machine.
        """
        if "://" in path or "::" in path:
            *wrappers, last = path.split("::")
            return (
                ".." not in path
                and all(part.startswith(_WRAPPERS) for part in wrappers)
                and last.lower().startswith(self.addresses or ("\0",))
            )
        if not os.path.isabs(path):  # noqa: PTH117 (a million rows)
            return False
        normal = os.path.normpath(path)
        return any(normal.startswith(folder.rstrip(os.sep) + os.sep) for folder in self.folders)


def shorten(text: object) -> str:
    """Return a text for a message: whole, or its first and last characters and its length."""
    whole, half = str(text), MAX_SHOWN // 2
    return whole if len(whole) <= MAX_SHOWN else f"{whole[:half]}...{whole[-half:]} ({len(whole)} characters)"


def name_rows(rows: Iterable[tuple[int, object]], num_rows: int) -> str:
    """Return the first `MAX_NAMED` of some rows with their values as text, and the number of the others."""
    shown = ", ".join(f"row {row}: {shorten(value)}" for row, value in islice(rows, MAX_NAMED))
    return shown if num_rows <= MAX_NAMED else f"{shown} ... and {num_rows - MAX_NAMED} more"


def refuse_outside(source: str, outside: list[tuple[int, str]], num_rows: int, own: str) -> None:
    """Raise an error if rows name files or addresses outside their own folder.

    Args:
        source: The table or data set, for the message.
        outside: Row and path of each such image.
        num_rows: Number of rows of the source.
        own: What the rows may name, for the message, such as `"files below /data/shop"`.

    Raises:
        ValueError: There are such rows. The message counts them and names the first ten.
    """
    if outside:
        raise ValueError(
            f"{source}: expected {own} only; {len(outside)} of {num_rows} images are outside: "
            f"{name_rows(outside, len(outside))}. A table of someone else could name any file of this machine. If you "
            "trust this one, read them with allow_outside (--allow_outside)"
        )


def check_stored_paths(splits: Mapping[str, Dataset], image_column: str, allowed: AllowedPaths, source: str) -> None:
    """Check that images without bytes of their own are files of the data set itself.

    Args:
        splits: Name of each split to its rows. A split without the column of images is not checked.
        image_column: Column of the images: paths, or struct<bytes, path>. A column of another type has no paths.
        allowed: The files and addresses of the data set.
        source: The data set, for the error.

    Raises:
        ValueError: A row has no bytes, and a path or address that `allowed` does not hold.
    """
    for name, split in splits.items():
        if image_column not in split.column_names:
            continue
        outside, first = [], 0
        for chunk in split.select_columns([image_column]).with_format("arrow")[:][image_column].chunks:
            paths = _paths_alone(chunk)
            found = enumerate(paths.to_pylist() if paths is not None else [], first)
            outside += [(row, path) for row, path in found if path and not allowed.holds(path)]
            first += len(chunk)
        refuse_outside(f"{source}, split {name!r}", outside, len(split), "images of its own files")


def check_stored_stream(stream: IterableDataset, image_column: str, allowed: AllowedPaths, source: str) -> Any:
    """Return a stream of the same rows, which raises an error at a row whose image is no file of the data set itself.

    Args:
        stream: Rows whose images are not decoded.
        image_column: Column of the images.
        allowed: The files and addresses of the data set.
        source: The data set, for the error.

    Returns:
        An `IterableDataset` with the same features, which raises `ValueError` at the first such row.
    """

    def check(row: dict[str, Any]) -> dict[str, Any]:
        check_stored_image(row[image_column], allowed, source)
        return row

    return stream.map(check, features=stream.features)


def check_stored_image(stored: Mapping[str, Any] | None, allowed: AllowedPaths, source: str) -> None:
    """Check that one image has bytes, or is a file of the data set itself.

    Raises:
        ValueError: It has no bytes, and a path or address that `allowed` does not hold.
    """
    if stored is None or stored["bytes"] is not None or not stored["path"] or allowed.holds(stored["path"]):
        return
    raise ValueError(
        f"{source}: expected images of its own files only; got {shorten(stored['path'])}, which is outside. A data set "
        "of someone else could name any file of this machine. If you trust this one, read it with allow_outside "
        "(--allow_outside)"
    )


def _paths_alone(images: Any) -> Any:
    """Return the paths of images without bytes, null for the others; `None` for a type without paths."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = images.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return images
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return None
    paths = images.field("path")
    if kind.get_field_index("bytes") < 0:
        return paths
    return pc.if_else(pc.is_null(images.field("bytes")), paths, pa.scalar(None, paths.type))
