"""Read the metadata files of a folder of images, as `datasets` defines them for its `imagefolder`."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from ...schema import name_some
from ..splits import SPLIT_COLUMN
from ..text_tables import read_text_table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from datasets import Dataset

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
PATH_COLUMN = "file_name"


def read_metadata(
    files: Sequence[Path], root: Path, images: Collection[str], image_column: str, label_column: str
) -> Dataset:
    """Read metadata files: a row for each image, whose path is relative to the folder of the file.

    Args:
        files: The files, anywhere below `root`: `metadata.csv`, `metadata.jsonl` or `metadata.parquet`. All of a CSV
            file is read as text.
        root: The folder of images.
        images: The images below `root`, as relative paths with forward slashes.
        image_column: The name of the image column. The paths are in the column `file_name`; or in
            `<image_column>_file_name`, or in `image_column` itself.
        label_column: Column of the classes.

    Returns:
        The rows of all files, in their order: `file_name` (text, relative to `root`), the column of the classes, and
        `image_id` and `split` if the files have them.

    Raises:
        ValueError: A column is missing, or has another type in another file; a path is empty, is no relative path,
            leads out of the folder of its file or to no image, or occurs twice. The message names the file, and the
            rows, counted from 0.
    """
    from datasets import concatenate_datasets

    images = set(images)
    parts: list[Dataset] = []
    seen: dict[str, str] = {}
    for file in files:
        where = file.relative_to(root).as_posix()
        part = _read(file, image_column, label_column)
        folder = posixpath.dirname(where)
        paths = _check_paths(part[PATH_COLUMN][:], file, folder)
        absent = [f"{path} (row {row})" for row, path in enumerate(paths) if path not in images]
        if absent:
            raise ValueError(
                f"{file}: {len(absent)} of {len(paths)} rows have no image: {name_some(absent)}. Expected the paths of "
                f"images below {root}, written here relative to it; add the images, or drop the rows"
            )
        repeated = []
        for row, path in enumerate(paths):
            if path in seen:
                repeated.append(f"{path} (row {row}, and {seen[path]})")
            seen[path] = f"row {row} of {where}"
        if repeated:
            raise ValueError(f"{file}: images that have several rows: {name_some(repeated)}; keep one row of each")
        part = part.remove_columns([PATH_COLUMN]).add_column(PATH_COLUMN, paths)
        if parts and part.features != parts[0].features:
            raise ValueError(
                f"{file}: has the columns {_types(part)}, and {files[0]} has {_types(parts[0])}; expected the same "
                "columns and types in all metadata files of a folder"
            )
        parts.append(part)
    return concatenate_datasets(parts) if len(parts) > 1 else parts[0]


def _read(file: Path, image_column: str, label_column: str) -> Dataset:
    """Read one file, with the paths in the column `file_name` and only the columns that are used."""
    import pyarrow as pa
    from datasets import Dataset, Value

    try:
        dataset = Dataset(read_text_table(file)) if file.suffix != ".parquet" else Dataset.from_parquet(str(file))
    except pa.ArrowException as error:
        raise ValueError(f"{file}: not a Parquet file ({error})") from error
    own = f"{image_column}_{PATH_COLUMN}"
    choices = (PATH_COLUMN, own) if image_column == "image" else (own, image_column, PATH_COLUMN)
    path_column = next((name for name in choices if name in dataset.column_names), None)
    listed = ", ".join(dataset.column_names)
    if path_column is None:
        raise ValueError(
            f"{file}: no column {PATH_COLUMN!r}; it has {listed}. Name the column of the paths with image_column=..., "
            "or, if folders name the classes and this file does not, say so with class_level=-1 (--class_level -1)"
        )
    if label_column not in dataset.column_names:
        raise ValueError(
            f"{file}: no column {label_column!r}; it has {listed}. Name the column of the classes with "
            "label_column=..., or, if folders name the classes and this file does not, say so with class_level=-1 "
            "(--class_level -1)"
        )
    if dataset.features[path_column] not in (Value("string"), Value("large_string"), Value("null")):
        raise ValueError(
            f"{file}: column {path_column!r} is {dataset.features[path_column]}; expected text, the path of an image "
            "relative to the folder of the file"
        )
    kept = [label_column, *(name for name in ("image_id", SPLIT_COLUMN) if name in dataset.column_names)]
    paths = dataset[path_column][:]
    return dataset.select_columns(sorted(set(kept) - {path_column})).add_column(PATH_COLUMN, paths)


def _check_paths(names: list[str | None], file: Path, folder: str) -> list[str]:
    """Return the paths of a file relative to the root."""
    missing = [row for row, name in enumerate(names) if not name]
    if missing:
        raise ValueError(f"{file}: the path is missing in rows {name_some(missing)}; fill it in or drop the rows")
    paths, outside = [], []
    for row, name in enumerate(map(str, names)):
        path = posixpath.normpath(name.replace("\\", "/"))
        if "://" in name or path.startswith("/") or path == ".." or path.startswith("../"):
            outside.append(f"{name!r} (row {row})")
        paths.append(posixpath.join(folder, path))
    if outside:
        raise ValueError(
            f"{file}: expected paths relative to the folder of the file that do not lead out of it; got "
            f"{name_some(outside)}"
        )
    return paths


def _types(dataset: Dataset) -> str:
    return ", ".join(f"{name} ({getattr(one, 'dtype', one)})" for name, one in sorted(dataset.features.items()))
