"""`table_source`: a CSV, TSV, JSON Lines or Parquet file of paths, with a fixed number of rows per shard."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.catalogue.text_tables import TABLE_SUFFIXES, read_text_table
from ...data.schema import name_some
from ..shards import ID_COLUMN
from .columns import columns_along, find_image_column, is_text
from .source import ImageSource, SourceRow, SourceShard, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["TABLE_SUFFIXES", "table_source"]


def table_source(path: Path, image_column: str | None, shard_size: int) -> ImageSource:
    """Return a source of the images that a table lists by paths relative to its folder. Other columns are metadata.

    All columns of a CSV file are read as text. The id of an image is in the column `image_id`, or else is its path. A
    path to which there is no file is a bad image.

    Args:
        path: The table.
        image_column: Column of the paths. `None`: the first that exists of `image`, `path` and `file_name`.
        shard_size: Number of rows in a shard.

    Raises:
        ValueError: The file is not a table, the column is missing or not text, or ids are missing or repeated.
    """
    table = _read(path)
    image_column = find_image_column(table.schema, image_column, path.name)
    if not is_text(table.schema.field(image_column).type):
        raise ValueError(
            f"{path.name}: expected paths or encoded images in column {image_column!r}; it is "
            f"{table.schema.field(image_column).type}"
        )
    columns = columns_along(table.schema, image_column, path.name)
    _check_ids(table[ID_COLUMN if ID_COLUMN in table.column_names else image_column].to_pylist(), path.name)
    shards = []
    for first in range(0, len(table), shard_size):
        part = table.slice(first, shard_size)
        shards.append(_shard(path, part, image_column, columns, f"{path.name}[{first}:{first + len(part)}]"))
    images = [path.parent / name for name in table[image_column].to_pylist() if name]
    return ImageSource(path.name, shards, columns, path.parent, (path, *images))


def _shard(path: Path, part: pa.Table, image_column: str, columns: pa.Schema, name: str) -> SourceShard:
    rows = part.select([image_column, *([ID_COLUMN] if ID_COLUMN in part.column_names else []), *columns.names])

    def read() -> Iterator[SourceRow]:
        for row in rows.to_pylist():
            relative = row[image_column]
            stored: dict[str, Any] | None = relative and {"bytes": None, "path": str(path.parent / relative)}
            image_id = row.get(ID_COLUMN, relative)
            yield SourceRow(image_id, relative or "", stored, {key: row[key] for key in columns.names})

    return SourceShard(name, digest_of(str(rows.to_pylist())), read, len(part))


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() != ".parquet":
        return read_text_table(path)
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"expected a Parquet file; {path} is none, or is damaged: {error}") from error


def _check_ids(ids: list[str | None], source: str) -> None:
    missing = [row for row, image_id in enumerate(ids) if not image_id]
    if missing:
        raise ValueError(
            f"{source}: expected an image in each row; rows {name_some(missing)} name none: fill them in, or drop them"
        )
    repeated = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{source}: expected each image once; listed more than once: {name_some(repeated)}; keep one row of each"
        )
