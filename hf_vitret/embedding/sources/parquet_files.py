"""`parquet_source`: Parquet files of encoded images, as `datasets` and `hf-vitret prepare` write them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shards import ID_COLUMN, PATH_COLUMN
from .columns import columns_along, find_image_column, is_bytes
from .source import ImageSource, SourceRow, SourceShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

ROWS_READ_AT_ONCE = 64  # number of encoded images in memory, without those that are being decoded


def holds_images(file: Path, image_column: str | None) -> bool:
    """Return whether a Parquet file has encoded images, and not paths."""
    schema = _schema(file)
    return is_bytes(schema.field(find_image_column(schema, image_column, file.name)).type)


def parquet_source(root: Path, files: Sequence[Path], name: str, image_column: str | None) -> ImageSource:
    """Return a source of the images in Parquet files. Their ids are in the column `image_id`, or else `<file>/<row>`.

    Raises:
        ValueError: A file is not a Parquet file, has no encoded images, or has other columns than the first.
    """
    first = _schema(files[0])
    image_column = find_image_column(first, image_column, files[0].name)
    columns = columns_along(first, image_column, name)
    for file in files:
        schema = _schema(file)
        if schema.names != first.names or schema.types != first.types:
            raise ValueError(
                f"expected the columns of {files[0].name} in {file.name}: {first.names}; got {schema.names}"
            )
    if not is_bytes(first.field(image_column).type):
        raise ValueError(
            f"{name}: expected encoded images in column {image_column!r}; it is {first.field(image_column).type}"
        )
    return ImageSource(name, [_shard(root, file, image_column, columns) for file in files], columns, None, tuple(files))


def _shard(root: Path, file: Path, image_column: str, columns: pa.Schema) -> SourceShard:
    import pyarrow.parquet as pq

    relative = file.relative_to(root).as_posix()
    with _named_damage(file), pq.ParquetFile(file) as opened:
        num_rows, names = opened.metadata.num_rows, opened.schema_arrow.names
    extra = [name for name in (ID_COLUMN, PATH_COLUMN) if name in names]

    def read() -> Iterator[SourceRow]:
        number = 0
        with _named_damage(file), pq.ParquetFile(file) as opened:
            wanted = [image_column, *extra, *columns.names]
            for batch in opened.iter_batches(ROWS_READ_AT_ONCE, columns=wanted):
                for row in batch.to_pylist():
                    stored = _as_stored(row[image_column])
                    image_id = row.get(ID_COLUMN, f"{relative.removesuffix('.parquet')}/{number:06d}")
                    path = row.get(PATH_COLUMN) or (stored or {}).get("path") or ""
                    yield SourceRow(image_id, path, stored, {key: row[key] for key in columns.names})
                    number += 1

    return SourceShard(relative, f"{file.stat().st_size}", read, num_rows)


def _as_stored(value: Any) -> dict[str, Any] | None:
    """Return an image in the form that `read_image` takes; `None` for a path alone, which is relative to no folder."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    return None if value["bytes"] is None else {"bytes": value["bytes"], "path": value.get("path")}


def _schema(file: Path) -> pa.Schema:
    import pyarrow.parquet as pq

    with _named_damage(file):
        return pq.read_schema(file)


@contextmanager
def _named_damage(file: Path) -> Iterator[None]:
    """Name the file in the error of a damaged one."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:  # OSError: a damaged page
        raise ValueError(f"expected a Parquet file; {file} is none, or is damaged: {error}") from error
