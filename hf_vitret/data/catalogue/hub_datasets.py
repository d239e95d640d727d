"""Read a data set on the Hub, or one that `datasets` saved on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset

# A folder that has such files and no images is a data set in the layout of the Hub.
HUB_SUFFIXES = (".parquet", ".arrow", ".csv", ".json", ".jsonl", ".tar")


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
