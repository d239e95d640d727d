"""The columns of a table: which one has the images, and which are copied as metadata."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..shards import EMBEDDING_COLUMN, ID_COLUMN
from .source import RESERVED

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "path", "file_name")


def find_image_column(schema: pa.Schema, image_column: str | None, source: str) -> str:
    """Return the name of the column of images or paths.

    Raises:
        ValueError: There is no column of the given name, or of the usual names.
    """
    wanted = IMAGE_COLUMNS if image_column is None else (image_column,)
    found = [column for column in wanted if column in schema.names]
    if not found:
        raise ValueError(
            f"{source}: expected a column {' or '.join(wanted)}; it has {', '.join(schema.names)}: name the column of "
            "the images with image_column"
        )
    return found[0]


def columns_along(schema: pa.Schema, image_column: str, source: str) -> pa.Schema:
    """Return the metadata columns: all except the column of images and the columns that a folder of embeddings has.

    Nested and binary columns are left out, with a warning in the log, because they could hold other images.

    Raises:
        ValueError: A column has the name of the column of embeddings, or `image_id` is not text.
    """
    import pyarrow as pa

    if EMBEDDING_COLUMN in schema.names:
        raise ValueError(
            f"{source} has a column {EMBEDDING_COLUMN!r}, a name that the output uses: rename it, or leave it out"
        )
    if ID_COLUMN in schema.names and not is_text(schema.field(ID_COLUMN).type):
        raise ValueError(
            f"{source}: expected {ID_COLUMN} to be text; it is {schema.field(ID_COLUMN).type}: convert it to text"
        )
    kept: list[pa.Field] = []
    left_out: list[pa.Field] = []
    for column in schema:
        if column.name == image_column or column.name in RESERVED:
            continue
        plain = not pa.types.is_nested(column.type) and not is_bytes(column.type)
        (kept if plain else left_out).append(pa.field(column.name, column.type))
    if left_out:
        names = ", ".join(f"{column.name} ({column.type})" for column in left_out)
        logger.warning("%s: these columns are not copied, because they are nested or binary: %s", source, names)
    return pa.schema(kept)


def is_text(kind: pa.DataType) -> bool:
    """Return whether the type of a column is string."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether a column has encoded files, as bytes or as the struct in which `datasets` stores images."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in [kind.field(number).name for number in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
