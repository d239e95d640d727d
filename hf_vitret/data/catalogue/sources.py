"""Read a folder of images, a table, a saved data set or a data set on the Hub, with its columns unchanged."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import IMAGE_SUFFIXES
from ..schema import SPLITS, name_some
from .text_tables import read_text_table

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

# A folder that has such files and no images is a data set in the layout of the Hub.
HUB_SUFFIXES = (".parquet", ".arrow", ".csv", ".json", ".jsonl", ".tar")
SPLIT_WORDS = frozenset({"test", "val", "valid", "validation", "query", "gallery"})


def find_images(folder: Path) -> list[Path]:
    """List the images below a folder, sorted, and log what is left out.

    Hidden files (with a leading dot, such as `._*` of macOS and `.DS_Store`) and files that are no images (`Thumbs.db`,
    `notes.txt`) are left out and counted; hidden folders are left out. Links to folders are followed, but each real
    folder is read once.

    Args:
        folder: The folder.

    Returns:
        The paths of the images, which begin with `folder`.
    """
    images, skipped, empty, seen = [], [], [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        is_image = {name: _has_image_name(name) for name in files}
        images += [Path(parent, name) for name in files if is_image[name]]
        skipped += [name for name in files if not is_image[name]]
        if not folders and not any(is_image.values()):
            empty.append(os.path.relpath(parent, folder))
    if skipped:
        logger.warning("%s: left out %d files that are no images: %s", folder, len(skipped), name_some(skipped))
    if empty:
        logger.warning("%s: left out %d folders without images: %s", folder, len(empty), name_some(empty))
    return sorted(images)


def _has_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def read_folder(root: Path, image_column: str, label_column: str) -> dict[str, Dataset]:
    """Read a folder of images. The class of an image is the name of the folder that directly contains it.

    In nested folders (`shoes/boots/1.jpg`) only the last one counts, so that two folders with the same name are one
    class; rename one of them, or use a table, if they are different classes. If the top folders are `train` and `test`,
    or `train`, `query` and `gallery`, they are the splits. An empty class folder is logged and left out, so that it
    does not stop a run.

    Args:
        root: The folder.
        image_column: Name of the column for the images.
        label_column: Name of the column for the classes.

    Returns:
        Name of each split to its images, with the columns `image_column`, `label_column` (text) and `image_id` (the
        path relative to `root`).

    Raises:
        ValueError: An image is directly in the top folder or in the folder of a split, where no folder names its class;
            or the top folders have the names of other splits.
    """
    from datasets import Dataset, Features, Image, Value

    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    evaluated = [names for names in SPLITS if len(names) > 1]  # a folder `train` alone may be a class
    splits = next((names for names in evaluated if folders == set(names)), None)
    if splits is None and "train" in folders and folders & SPLIT_WORDS:
        raise ValueError(
            f"{root}: the top folders {', '.join(sorted(folders))} look like splits; expected exactly "
            f"{' or '.join(' + '.join(names) for names in evaluated)} (or class folders alone)"
        )
    roots = {name: root / name for name in splits} if splits else {"train": root}
    found = {}
    for name, folder in roots.items():
        paths = find_images(folder)
        loose = [path.name for path in paths if path.parent == folder]
        if loose:
            raise ValueError(
                f"{folder} holds images beside its class folders: {name_some(loose)}. The class of an image "
                "is the name of its folder: expected <class>/<image>; move them into a folder of their "
                "class, or away"
            )
        found[name] = Dataset.from_dict(
            {
                image_column: [str(path) for path in paths],
                label_column: [path.parent.name for path in paths],
                "image_id": [path.relative_to(root).as_posix() for path in paths],
            },
            features=Features({image_column: Image(), label_column: Value("string"), "image_id": Value("string")}),
        )
    return found


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


def require_columns(dataset: Dataset, columns: dict[str, str], source: str) -> None:
    """Check that a data set has the columns of images and labels.

    Args:
        dataset: The data set.
        columns: `"image"` and `"label"` to the names of these columns.
        source: The origin of the data set, for the error.

    Raises:
        ValueError: A column is missing. The message lists the existing ones, and the option that names the column.
    """
    for what, column in columns.items():
        if column not in dataset.column_names:
            raise ValueError(
                f"{source}: no column {column!r}; it has {', '.join(dataset.column_names)}. Name the {what} "
                f"column with {what}_column=..."
            )


def read_saved(folder: Path) -> dict[str, Dataset]:
    """Read a folder that `Dataset.save_to_disk` (as the split `train`) or `DatasetDict.save_to_disk` wrote."""
    from datasets import Dataset, load_from_disk

    loaded = load_from_disk(str(folder))
    return {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)


def read_hub(name: str, **options: Any) -> dict[str, Dataset]:
    """Read a data set on the Hub, or a local folder in the layout of the Hub, with `datasets.load_dataset`.

    Args:
        name: Id on the Hub (`owner/name`), or a folder.
        **options: Options of `load_dataset`. With `streaming=True` the splits are `IterableDataset`.

    Returns:
        Name of each split to its data set.

    Raises:
        FileNotFoundError: There is no such path and no such data set, or the Hub cannot be reached.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return dict(load_dataset(name, **options))
    except (DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise FileNotFoundError(
            f"{name!r} is no folder or table on this machine, and datasets.load_dataset found no such data "
            "set. Check the path (data_dir) or the name on the Hub (owner/name), and the connection if it is "
            "on the Hub; a private one needs a token (hf auth login, or HF_TOKEN)"
        ) from error
