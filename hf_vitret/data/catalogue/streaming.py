"""A data set of the Hub that the disk has no room for: read once as a stream, of which small copies are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..preparation.prepare import prepare_dataset
from .columns import check_label_feature
from .sources import read_hub, require_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datasets import IterableDataset

    from .splits import SplitNames


def prepare_stream(
    dataset_name: str,
    output_dir: str,
    names: SplitNames,
    columns: Mapping[str, str],
    *,
    hub_options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write the images of a data set of the Hub at a small size, without ever having the large ones on the disk.

    The commit that is read is noted: an interrupted call goes on in the files of the commit it began with, or says
    that there is another one. The stream begins again at the place where it stopped, not at its first image.

    Args:
        dataset_name: Owner and name.
        output_dir: As `prepare_dataset`.
        names: Which splits are read, and what they will be called.
        columns: `image` and `label`, to the names that these columns have. Images are called by the `image_id` column
            if there is one, else `<split>/<row>`.
        hub_options: Options of `datasets.load_dataset`, as `name` (the configuration), `revision` or `token`.
        **settings: Of `prepare_dataset`, as `short_side`.

    Returns:
        `output_dir`, for `load_retrieval_dataset("catalogue", output_dir)`. Labels are of the type that they had.

    Raises:
        FileNotFoundError: There is no such data set or revision, or the Hub cannot be reached.
        ValueError: Splits or columns are not there; the image column does not hold images or the label column no
            classes; or as `prepare_dataset`.
    """
    from datasets import IterableDatasetDict

    hub_options = dict(hub_options or {})
    commit = find_commit(dataset_name, hub_options.pop("revision", None), hub_options.get("token"))
    found = read_hub(dataset_name, streaming=True, revision=commit, **hub_options)
    splits = names.choose(found, dataset_name)
    return prepare_dataset(
        IterableDatasetDict({name: _rename(split, columns, dataset_name) for name, split in splits.items()}),
        output_dir,
        source=name_source(dataset_name, hub_options.get("name"), commit),
        **settings,
    )


def name_source(dataset_name: str, config: str | None, commit: str) -> str:
    """Say in the notes of a prepared folder where it comes from: `user/x/config@commit`."""
    return f"{dataset_name}{f'/{config}' if config else ''}@{commit}"


def find_commit(dataset_name: str, revision: str | None = None, token: str | bool | None = None) -> str:
    """Return the commit of a data set on the Hub that a branch or tag stands for now.

    Raises:
        FileNotFoundError: There is no such data set or revision, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    # Of whichever library the client's version speaks HTTP with.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        commit = HfApi().dataset_info(dataset_name, revision=revision, token=token).sha
    except (HTTPError, OSError) as error:  # OSError: offline mode
        raise FileNotFoundError(
            f"expected a data set {dataset_name!r} on the Hub, at revision {revision or 'main'!r}: {error}"
        ) from error
    assert commit is not None
    return commit


def _rename(split: IterableDataset, columns: Mapping[str, str], source: str) -> IterableDataset:
    """Give the columns the schema's names and leave the others out."""
    from datasets import Image

    if split.features is None:
        raise ValueError(
            f"{source}: its files do not say of which types their columns are, and a stream is not searched for it; "
            "load it without streaming"
        )
    require_columns(split, dict(columns), source)
    if not isinstance(split.features[columns["image"]], Image):
        raise ValueError(
            f"{source}: column {columns['image']!r} is {split.features[columns['image']]}; a stream needs an Image "
            "column. Name the image column with image_column=..."
        )
    check_label_feature(split.features[columns["label"]], columns["label"], source)
    kept = {columns["image"]: "image", columns["label"]: "label"}
    if "image_id" in split.features:
        kept["image_id"] = "image_id"
    renamed = {old: new for old, new in kept.items() if old != new}
    # First of all: a remote stream decodes ahead in threads, and only the last step can be taken back.
    split = split.decode(False).select_columns(list(kept))
    return split.rename_columns(renamed) if renamed else split
