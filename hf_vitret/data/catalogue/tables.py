"""Read a table of image paths and classes, or of encoded images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema import name_some
from .columns import require_columns
from .text_tables import read_text_table

if TYPE_CHECKING:
    from datasets import Dataset


def read_table(table: Path, image_column: str, label_column: str) -> dict[str, Dataset]:
    """Read a CSV, TSV, JSON Lines or Parquet file of paths relative to the file, or (Parquet) of encoded images.

    All of a CSV or TSV file is read as text: a class "007" stays "007", a class "None" is a class, an empty cell is
    missing (`read_text_table`).

    Args:
        table: The file; its suffix is one of `TABLE_SUFFIXES`.
        image_column: Column of the paths or images.
        label_column: Column of the classes.

    Returns:
        `train` with the columns as they are, the paths made absolute; of a table of paths, only the images, the labels
        and `image_id`: the table's own, else the relative paths.

    Raises:
        ValueError: The file is no such table, a column is missing, or a path is empty, occurs twice, or leads to no
            file.
    """
    from datasets import Dataset, Features, Image, Value

    if table.suffix.lower() == ".parquet":
        dataset = Dataset.from_parquet(str(table))
    else:
        dataset = Dataset(read_text_table(table))
    require_columns(dataset, {"image": image_column, "label": label_column}, str(table))
    if dataset.features[image_column] in (Value("string"), Value("large_string"), Value("null")):
        paths = dataset[image_column][:]
        check_paths(paths, table)
        rows = {
            image_column: [str(table.parent / path) for path in paths],
            label_column: dataset[label_column][:],
        }
        features = {image_column: Image(), label_column: dataset.features[label_column]}
        if "image_id" in dataset.column_names:
            rows["image_id"], features["image_id"] = dataset["image_id"][:], dataset.features["image_id"]
        elif not any(Path(path).is_absolute() for path in paths):
            rows["image_id"], features["image_id"] = paths, Value("string")
        dataset = Dataset.from_dict(rows, features=Features(features))
    return {"train": dataset}


def check_paths(paths: list[str | None], table: Path) -> None:
    """Check that the paths in the image column of a table are not empty, are different and lead to files.

    Args:
        paths: The paths, relative to the folder of the table, or absolute.
        table: The file of the table.

    Raises:
        ValueError: A path is empty (the message names the row), occurs twice, or leads to no file.
    """
    missing = [row for row, path in enumerate(paths) if not path]
    if missing:
        raise ValueError(
            f"{table}: the image path is missing in rows {name_some(missing)}; fill it in or drop the rows"
        )
    counts = Counter(paths)
    repeated = [path for path, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"{table}: these images are listed more than once: {name_some(repeated)}; keep one row of each"
        )
    absent = [path for path in counts if not (table.parent / str(path)).is_file()]
    if absent:
        raise ValueError(
            f"{table}: {len(absent)} of {len(paths)} images are not there: {name_some(absent)}. Paths are "
            f"taken relative to the folder of the table, {table.parent}"
        )
