"""Read a data set on the Hub once as a stream, and keep small copies of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..preparation.prepare import prepare_dataset
from .allowed_paths import check_stored_stream
from .columns import check_label_feature, require_columns
from .hub_datasets import own_paths, read_hub

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
    allow_outside: bool = False,
    **settings: Any,
) -> Path:
    """Write small copies of the images of a data set on the Hub, without having the large images on the disk.

    The commit is part of the settings: an interrupted call continues with the commit that it began with, or raises an
    error if the data set has another one by now. The stream continues at the position where it stopped.

    Args:
        dataset_name: Id on the Hub, `owner/name`.
        output_dir: The folder to make, a prepared folder (`prepare_dataset`).
        names: The splits to read.
        columns: `"image"` and `"label"` to the names of these columns. The ids of images are those in the column
            `image_id`, if there is one, else `<split>/<row>`.
        hub_options: Options of `datasets.load_dataset`, such as `name` (the configuration), `revision` or `token`.
        allow_outside: Whether images may be files or addresses outside the data set, such as files of this machine.
        **settings: Settings of `prepare_dataset`, such as `short_side`.

    Returns:
        `output_dir`, for `load_retrieval_dataset("catalogue", output_dir)`. Labels keep their type.

    Raises:
        FileNotFoundError: There is no such data set or revision, or the Hub cannot be reached.
        ValueError: A split or column is missing; the image column has no images, or the label column no classes; an
            image is unreadable, or a file outside the data set; or `output_dir` was prepared with other settings or
            from other images.
        FileExistsError: `output_dir` is a file, or a folder with other content.
    """
    from datasets import IterableDatasetDict

    hub_options = dict(hub_options or {})
    commit = find_commit(dataset_name, hub_options.pop("revision", None), hub_options.get("token"))
    found = read_hub(dataset_name, streaming=True, revision=commit, **hub_options)
    splits = names.choose(found, dataset_name)
    rows = {name: _rename(split, columns, dataset_name) for name, split in splits.items()}
    if not allow_outside:
        own = own_paths(dataset_name)
        rows = {name: check_stored_stream(split, "image", own, dataset_name) for name, split in rows.items()}
    return prepare_dataset(
        IterableDatasetDict(rows),
        output_dir,
        source=name_source(dataset_name, hub_options.get("name"), commit),
        **settings,
    )


def name_source(dataset_name: str, config: str | None, commit: str) -> str:
    """Return the origin of a prepared folder, for its manifest: `user/x/config@commit`."""
    return f"{dataset_name}{f'/{config}' if config else ''}@{commit}"


def find_commit(dataset_name: str, revision: str | None = None, token: str | bool | None = None) -> str:
    """Return the commit of a data set on the Hub that a branch or tag refers to now.

    Args:
        dataset_name: Id on the Hub, `owner/name`.
        revision: Branch, tag or commit; `None`: the main branch.
        token: Token of the Hub, or whether to use the stored one; `None`: the default of huggingface_hub.

    Raises:
        FileNotFoundError: There is no such data set or revision, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    # The base class of HTTP errors differs between versions of huggingface_hub.
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
    """Rename the columns to those of the schema, and leave the other columns out."""
    from datasets import Image

    if split.features is None:
        raise ValueError(
            f"{source}: its files do not declare the types of their columns, which a stream needs; load it without "
            "streaming"
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
    # Decoding is switched off first: a remote stream decodes ahead in threads, which only its last step can change.
    split = split.decode(False).select_columns(list(kept))
    return split.rename_columns(renamed) if renamed else split
