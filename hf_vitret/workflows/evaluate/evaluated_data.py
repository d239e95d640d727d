"""The images that an evaluation is of: a data set by name, or of one's own, and what of it cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import DatasetDict

from ...data.loading import load_retrieval_dataset
from ...data.readable_images import readable_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWN = "catalogue"  # the data set that is the user's, of this machine or of the Hub


def load_evaluated(
    name: str,
    *,
    data_dir: str | None,
    hub: Mapping[str, str | None],
    loader_options: Mapping[str, Any],
    on_bad_image: str,
    is_trusted: bool,
    tell: Callable[[str], None],
) -> tuple[DatasetDict, dict[str, int]]:
    """Load the splits that are evaluated.

    Args:
        name: Of the data set; see `load_retrieval_dataset`.
        data_dir: Where it is on this machine.
        hub: `dataset_name`, `dataset_config` and `dataset_revision` of a data set of the Hub; None where not given.
        loader_options: Further options of its loader.
        on_bad_image: `"error"`, or `"skip"` to leave out what cannot be read.
        is_trusted: Whether the images need not be read once before.
        tell: Shows a line to whoever waits.

    Returns:
        The splits but `train`; and by split how many images cannot be read, where there are any.

    Raises:
        ValueError: Options do not go together, or images cannot be read; or as `load_retrieval_dataset`.
        OSError: There is no such data set.
    """
    given = {option: value for option, value in hub.items() if value is not None}
    if name != OWN and given:
        raise ValueError(f"--{next(iter(given))} is for a data set of the Hub; got it with --dataset {name}")
    if name == OWN and (data_dir is None) == (hub["dataset_name"] is None):
        raise ValueError(
            "expected --data_dir (images of this machine), --dataset_name (of the Hub), one of them, or --dataset "
            "with the name of a benchmark"
        )
    given = {option.replace("dataset_revision", "revision"): value for option, value in given.items()}
    loaded = load_retrieval_dataset(name, data_dir=data_dir, **loader_options, **given)
    dataset = DatasetDict({split: rows for split, rows in loaded.items() if split != "train"})
    if is_trusted:
        return dataset, {}
    tell("Reading each image once ...")
    dataset, bad = readable_images(dataset, on_bad_image)
    return dataset, {split: len(images) for split, images in bad.items()}


def data_title(name: str, data_dir: str | None, dataset_name: str | None) -> str:
    """Name the data in a report: a benchmark, an id on the Hub, or a folder without what is above it."""
    return dataset_name or Path(str(data_dir)).resolve().name if name == OWN else name
