"""Read a table of image paths and classes, or of encoded images."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..schema import name_some
from .allowed_paths import name_rows, shorten
from .columns import require_columns
from .left_out import LeftOut, Reason, report
from .listed_images import FileRules, describe_missing, list_images
from .splits import SPLIT_COLUMN
from .text_tables import read_text_table

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset

    from .listed_images import ListedImages

logger = logging.getLogger(__name__)

MISSING = Reason("images that the table names and that are not there", is_image=True)


def image_column_of(image_column: str) -> str:
    """Return the name that `read_table` gives to the column of the images.

    A column `image_id` of paths is both the images and their ids, so that the images get another name.
    """
    return "image_file" if image_column == "image_id" else image_column


def read_table(
    table: Path,
    image_column: str,
    label_column: str,
    rules: FileRules | None = None,
) -> dict[str, Dataset]:
    """Read a CSV, TSV, JSON Lines or Parquet file of paths relative to a folder, or (Parquet) of encoded images.

    All of a CSV or TSV file is read as text: a class "007" stays "007", a class "None" is a class, an empty cell is
    missing (`read_text_table`). `list_images` has the rules by which a cell leads to files.

    Args:
        table: The file; its suffix is one of `TABLE_SUFFIXES`.
        image_column: Column of the paths or images.
        label_column: Column of the classes.
        rules: How the cells lead to files, and what to do about files that are not there. `None`: by paths relative to
            the folder of the table and below it, all of which are there.

    Returns:
        `train` with the columns as they are, the paths made absolute; of a table of paths, only the images (in the
        column `image_column_of`), the labels, `split` if there is one, and `image_id`: the table's own, else the names
        as in the table, if none is absolute. A row that lists several images is one row for each.

    Raises:
        ValueError: The file is no such table, has no rows, or a column is missing; a path is empty, occurs twice, leads
            to no file or outside the folder; or the images are addresses or base64 text.
        FileNotFoundError: The folder of the images does not exist.
    """
    rules = rules or FileRules()
    dataset = _read(table)
    require_columns(dataset, {"image": image_column, "label": label_column}, str(table))
    if not len(dataset):
        raise ValueError(f"{table}: expected a row for each image; the table has a header and no rows")
    if _holds_names(dataset.features[image_column], numbers=rules.names_files):
        return {"train": _from_names(dataset, table, image_column, label_column, rules)}
    rules.require_table(f"{table}, whose column {image_column!r} has encoded images")
    return {"train": _with_files(dataset, table, image_column, rules)}


def _read(table: Path) -> Dataset:
    """Read any of the kinds of tables."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    if table.suffix.lower() != ".parquet":
        return Dataset(read_text_table(table))
    try:
        pq.read_schema(table)
        return Dataset.from_parquet(str(table))
    except (pa.ArrowException, OSError, DatasetGenerationError) as error:  # OSError: a damaged page
        raise ValueError(
            f"expected a Parquet file; {table} is none, or is damaged: {error.__cause__ or error}. Was it copied as a "
            "whole?"
        ) from error


def _from_names(dataset: Dataset, table: Path, image_column: str, label_column: str, rules: FileRules) -> Dataset:
    """Make a data set of the files that a column names."""
    from datasets import Dataset, Features, Image, Value

    cells = dataset[image_column][:]
    listed = list_images(cells, table, image_column, rules)
    _check_names(listed, table)
    positions = list(range(len(listed.names)))
    if listed.missing:
        if rules.on_missing_file == "error" or len(listed.missing) == len(listed.names):
            raise ValueError(describe_missing(listed, table, rules))
        missing = set(listed.missing)
        logger.warning("Left out: %s", describe_missing(listed, table, rules))
        left_out = LeftOut()
        for position in listed.missing:
            left_out.add(MISSING, str(listed.names[position]))
        report(left_out, str(table), logger)
        positions = [position for position in positions if position not in missing]
    rows = [listed.rows[position] for position in positions]
    columns: dict[str, Any] = {image_column_of(image_column): [listed.files[position] for position in positions]}
    features: dict[str, Any] = {image_column_of(image_column): Image()}
    taken = [label_column]
    if SPLIT_COLUMN in dataset.column_names:
        taken.append(SPLIT_COLUMN)
    if "image_id" in dataset.column_names and image_column != "image_id":
        if listed.has_lists:
            logger.warning("%s: rows list several images, so that their ids are not image_id but their names", table)
        else:
            taken.append("image_id")
    for name in taken:
        values = dataset[name][:]
        columns[name], features[name] = [values[row] for row in rows], dataset.features[name]
    names = [listed.names[position] for position in positions]
    if "image_id" not in taken and not any(os.path.isabs(str(name)) for name in names):  # noqa: PTH117 (millions)
        columns["image_id"], features["image_id"] = names, Value("string")
    return Dataset.from_dict(columns, features=Features(features))


def _check_names(listed: ListedImages, table: Path) -> None:
    """Check that no name is missing and none is there twice."""
    empty = [row for row, name in zip(listed.rows, listed.names) if name is None]
    if empty:
        raise ValueError(f"{table}: the image path is missing in rows {name_some(empty)}; fill it in or drop the rows")
    repeated = [name for name, count in Counter(listed.names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{table}: these images are listed more than once: {name_some([*map(shorten, repeated)])}; keep one row of "
            "each"
        )


def _with_files(dataset: Dataset, table: Path, image_column: str, rules: FileRules) -> Dataset:
    """Give images that a Parquet file stores without bytes the absolute paths of their files, after the same checks."""
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo

    kind = dataset.features.arrow_schema.field(image_column).type
    if not pa.types.is_struct(kind) or min(kind.get_field_index("bytes"), kind.get_field_index("path")) < 0:
        return dataset
    images = dataset.with_format("arrow")[:][image_column]
    alone: list[str | None] = []  # the path of each image without bytes
    for chunk in images.chunks:
        stored = zip(chunk.field("bytes").is_null().to_pylist(), chunk.field("path").to_pylist())
        alone += [path if has_no_bytes else None for has_no_bytes, path in stored]
    if not any(alone):
        return dataset
    listed = list_images(alone, table, image_column, rules)
    if listed.missing or listed.has_lists:
        absent = [(listed.rows[position], listed.names[position]) for position in listed.missing]
        raise ValueError(
            f"{table}: {len(absent)} of {len(dataset)} images have no bytes, and no file below {listed.folder}: "
            f"{name_rows(absent, len(absent))}. Drop these rows, or write the images into the table"
        )
    first, chunks = 0, []
    for chunk in images.chunks:
        fields = {field.name: chunk.field(field.name) for field in kind}
        paths = zip(listed.files[first : first + len(chunk)], fields["path"].to_pylist())
        fields["path"] = pa.array([file or path for file, path in paths], fields["path"].type)
        chunks.append(pa.StructArray.from_arrays([*fields.values()], fields=[*kind], mask=chunk.is_null()))
        first += len(chunk)
    position = dataset.column_names.index(image_column)
    field = dataset.features.arrow_schema.field(image_column)
    whole = dataset.with_format("arrow")[:].set_column(position, field, pa.chunked_array(chunks, kind))
    return Dataset(whole, info=DatasetInfo(features=dataset.features))


def _holds_names(feature: Any, *, numbers: bool) -> bool:
    """Return whether a column of this feature has names of files, or lists of them; whole numbers only if wanted."""
    from datasets import LargeList, List, Value

    if isinstance(feature, (List, LargeList)):
        return _holds_names(feature.feature, numbers=numbers)
    if not isinstance(feature, Value):
        return False
    return feature.dtype in ("string", "large_string", "null") or (
        numbers and feature.dtype.startswith(("int", "uint"))
    )
