"""Read a data set on the Hub, or one that `datasets` saved on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import name_some
from .allowed_paths import AllowedPaths, check_stored_paths

if TYPE_CHECKING:
    from datasets import Dataset

# A folder that has such files and no images is a data set in the layout of the Hub.
HUB_SUFFIXES = (".parquet", ".arrow", ".csv", ".json", ".jsonl", ".tar")


def read_saved(folder: Path, image_column: str | None = None) -> dict[str, Dataset]:
    """Read a folder that `Dataset.save_to_disk` (as the split `train`) or `DatasetDict.save_to_disk` wrote.

    Args:
        folder: The folder.
        image_column: Column whose images must have bytes, or be files below the folder (`check_stored_paths`). `None`:
            any files.

    Returns:
        Name of each split to its data set.

    Raises:
        ValueError: An image is another file.
    """
    from datasets import Dataset, load_from_disk

    loaded = load_from_disk(str(folder))
    splits = {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
    if image_column is not None:
        check_stored_paths(splits, image_column, AllowedPaths.of_folder(folder), str(folder))
    return splits


def read_hub(name: str, image_column: str | None = None, **options: Any) -> dict[str, Dataset]:
    """Read a data set on the Hub, or a local folder in the layout of the Hub, with `datasets.load_dataset`.

    Args:
        name: Id on the Hub (`owner/name`), or a folder.
        image_column: Column whose images must have bytes, or be files of the data set itself (`check_stored_paths`).
            `None`, or with `streaming=True`: any files.
        **options: Options of `load_dataset`. With `streaming=True` the splits are `IterableDataset`.

    Returns:
        Name of each split to its data set.

    Raises:
        FileNotFoundError: There is no such path and no such data set, or the Hub cannot be reached.
        ValueError: A file of the data set cannot be read, or an image is a file outside the data set.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    try:
        splits = dict(load_dataset(name, **options))
    except DatasetGenerationError as error:
        raise ValueError(
            f"{name}: a file of this data set cannot be read by datasets.load_dataset: "
            f"{error.__cause__ or error}{_damaged_files(Path(name))}"
        ) from error
    except (DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise FileNotFoundError(
            f"{name!r} is no folder or table on this machine, and datasets.load_dataset found no such data "
            "set. Check the path (data_dir) or the name on the Hub (owner/name), and the connection if it is "
            "on the Hub; a private one needs a token (hf auth login, or HF_TOKEN)"
        ) from error
    if image_column is not None and not options.get("streaming"):
        check_stored_paths(splits, image_column, own_paths(name), name)
    return splits


def own_paths(name: str) -> AllowedPaths:
    """Return the files that the rows of a data set may name: those of its folder, or of its repository on the Hub.

    Args:
        name: Id on the Hub (`owner/name`), or a folder, as for `read_hub`.
    """
    return AllowedPaths.of_folder(name) if Path(name).exists() else AllowedPaths.of_hub(name)


def _damaged_files(folder: Path) -> str:
    """Name the files of a folder that are empty, or Parquet files without an end."""
    damaged = []
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if file.suffix.lower() in HUB_SUFFIXES and file.is_file():
            content_size = file.stat().st_size
            with file.open("rb") as stream:
                stream.seek(max(0, content_size - 4))
                is_whole = stream.read() == b"PAR1" if file.suffix.lower() == ".parquet" else content_size > 0
            if not is_whole:
                damaged.append(str(file.relative_to(folder)))
    return f". These files are empty or cut off: {name_some(damaged)}" if damaged else ""
