"""`hub_source`: a data set of the Hub, streamed. Each of its files is a shard, which only one process reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...data.catalogue.allowed_paths import check_stored_stream
from ...data.catalogue.hub_datasets import own_paths, read_hub
from ...data.catalogue.streaming import find_commit, name_source
from ..shards import ID_COLUMN, PATH_COLUMN
from .columns import columns_along, find_image_column
from .source import ImageSource, SourceRow, SourceShard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets import IterableDataset


def hub_source(
    dataset_name: str,
    image_column: str | None,
    split: str | None,
    config: str | None,
    revision: str | None,
    *,
    allow_outside: bool = False,
) -> ImageSource:
    """Return a source of the images of one split of a data set on the Hub, at the current commit of the revision.

    The id of an image is in the column `image_id`, or else `<split>/<file>/<row>`. An image that is a file or
    an address outside the data set is an error when it is read, unless `allow_outside` is set.

    Raises:
        FileNotFoundError: There is neither such a path on this machine nor such a data set.
        ValueError: There is no such split or column, or the column is not of type `Image`.
    """
    from datasets import Image

    try:
        commit = find_commit(dataset_name, revision)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a string that cannot be an id
        raise FileNotFoundError(
            f"{dataset_name!r} is no folder, file or pattern on this machine; and {error}"
        ) from error
    options = {"revision": commit} | ({"name": config} if config else {})
    splits = read_hub(dataset_name, streaming=True, **options)
    if split is None and len(splits) == 1:
        (split,) = splits
    if split not in splits:
        raise ValueError(f"{dataset_name}: expected a split of {', '.join(splits)}; got {split}: name one with split")
    stream = splits[split]
    if stream.features is None:
        raise ValueError(
            f"{dataset_name}: expected files that declare the types of their columns, which a stream needs; these do "
            "not: download the data set, and embed its files"
        )
    schema = stream.features.arrow_schema
    image_column = find_image_column(schema, image_column, dataset_name)
    if not isinstance(stream.features[image_column], Image):
        raise ValueError(
            f"{dataset_name}: expected column {image_column!r} to be an Image; it is {stream.features[image_column]}: "
            "name the column of the images with image_column"
        )
    columns = columns_along(schema, image_column, dataset_name)
    name = f"{name_source(dataset_name, config, commit)}, {split}"
    # Before any other operation, because a remote stream decodes ahead in threads.
    stream = stream.decode(False)
    extra = [column for column in (ID_COLUMN, PATH_COLUMN) if column in schema.names]
    stream = stream.select_columns([image_column, *extra, *columns.names])
    if not allow_outside:
        stream = check_stored_stream(stream, image_column, own_paths(dataset_name), dataset_name)
    count = stream.num_shards
    shards = [
        _shard(stream, image_column, columns.names, f"{split}/{number:05d}", (number, count), f"{name} {count}")
        for number in range(count)
    ]
    return ImageSource(name, shards, columns)


def _shard(
    stream: IterableDataset, image_column: str, columns: list[str], name: str, place: tuple[int, int], content: str
) -> SourceShard:
    def read() -> Iterator[SourceRow]:
        index, count = place
        row: dict[str, Any]
        for number, row in enumerate(stream.shard(count, index)):
            stored = row[image_column]
            image_id = row.get(ID_COLUMN, f"{name}/{number:06d}")
            path = row.get(PATH_COLUMN) or ""
            yield SourceRow(image_id, path, stored, {key: row[key] for key in columns})

    return SourceShard(name, content, read)
