"""`table_source`: a CSV, TSV, JSON Lines or Parquet file of paths, with a fixed number of rows per shard."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.catalogue.allowed_paths import shorten
from ...data.catalogue.listed_images import FileRules, list_images
from ...data.catalogue.text_tables import TABLE_SUFFIXES, read_text_table
from ...data.schema import name_some
from ..shards import ID_COLUMN
from .columns import columns_along, find_image_column, is_text
from .source import ImageSource, SourceRow, SourceShard, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from ...data.catalogue.listed_images import ListedImages

logger = logging.getLogger(__name__)

__all__ = ["TABLE_SUFFIXES", "table_source"]


def table_source(path: Path, image_column: str | None, shard_size: int, rules: FileRules | None = None) -> ImageSource:
    """Return a source of the images that a table lists by their paths or ids. Other columns are metadata.

    All columns of a CSV file are read as text. The id of an image is in the column `image_id`, or else is its name as
    in the table. A row that lists several images is one row for each. A name to which there is no file is a bad image.

    Args:
        path: The table.
        image_column: Column of the paths. `None`: the first that exists of `image`, `path` and `file_name`.
        shard_size: Number of rows in a shard.
        rules: How names lead to files (`list_images`). `None`: by paths relative to the folder of the table.

    Raises:
        ValueError: The file is not a table, the column is missing or not text, ids are missing or repeated, or names
            lead outside the folder.
        FileNotFoundError: The folder of the images does not exist.
    """
    table, rules = _read(path), rules or FileRules()
    image_column = find_image_column(table.schema, image_column, path.name)
    if not _is_names(table.schema.field(image_column).type):
        raise ValueError(
            f"{path.name}: expected paths or encoded images in column {image_column!r}; it is "
            f"{table.schema.field(image_column).type}"
        )
    columns = columns_along(table.schema, image_column, path.name)
    listed = list_images(table[image_column].to_pylist(), path, image_column, rules)
    has_ids = ID_COLUMN in table.column_names and not listed.has_lists
    if ID_COLUMN in table.column_names and image_column != ID_COLUMN and not has_ids:
        logger.warning("%s: rows list several images, so that their ids are not image_id but their names", path.name)
    ids = table[ID_COLUMN].to_pylist() if has_ids and image_column != ID_COLUMN else listed.names
    _check_ids(ids, path.name)
    rows = table.select(columns.names).take(listed.rows)
    shards = []
    for first in range(0, len(ids), shard_size):
        positions = range(first, min(first + shard_size, len(ids)))
        name = f"{path.name}[{first}:{positions.stop}]"
        shards.append(_shard(listed, positions, ids[first : positions.stop], rows.slice(first, len(positions)), name))
    images = [Path(file) for file in listed.files if file]
    return ImageSource(path.name, shards, columns, listed.folder, (path, *images))


def _shard(listed: ListedImages, positions: range, ids: Sequence[str | None], rows: pa.Table, name: str) -> SourceShard:
    files = [listed.files[position] for position in positions]
    paths = [listed.relative(position) for position in positions]

    def read() -> Iterator[SourceRow]:
        # A table without columns has no rows, in Arrow.
        for image_id, path, file, row in zip(ids, paths, files, rows.to_pylist() or [{} for _ in ids]):
            stored: dict[str, Any] | None = None if file is None else {"bytes": None, "path": file}
            yield SourceRow(str(image_id), path, stored, row)

    return SourceShard(name, digest_of(str([ids, paths, rows.to_pylist()])), read, len(ids))


def _is_names(kind: pa.DataType) -> bool:
    """Return whether a column has names of files, or lists of them."""
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_text(kind.value_type if is_list else kind)


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() != ".parquet":
        return read_text_table(path)
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"expected a Parquet file; {path} is none, or is damaged: {error}") from error


def _check_ids(ids: Sequence[str | None], source: str) -> None:
    missing = [row for row, image_id in enumerate(ids) if not image_id]
    if missing:
        raise ValueError(
            f"{source}: expected an image in each row; rows {name_some(missing)} name none: fill them in, or drop them"
        )
    repeated = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{source}: expected each image once; listed more than once: {name_some([*map(shorten, repeated)])}; keep "
            "one row of each"
        )
