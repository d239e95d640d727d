"""Read the rows of a split, in memory or streamed, from the first one or from where an interrupted run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from ..schema import COLUMNS, column_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets import Dataset, Features, IterableDataset


class Position(TypedDict):
    """How far a source has been read.

    Attributes:
        rows: Number of rows read, from the first one on.
        state: State of a stream, its position in its files; `None` for a source that is not a stream.
    """

    rows: int
    state: dict[str, Any] | None


START = Position(rows=0, state=None)


class RowSource:
    """Reads one split in order, without decoding an image.

    Args:
        split: A split with the columns `image`, `label` (of any type) and `image_id`. Without `image_id` the ids are
            `<name>/<row>`.
        name: Name of the split.
        position: Position to start from.

    Attributes:
        features: Features of the columns `image`, `label` and `image_id`.
        is_stream: Whether the split is a stream.
        num_rows: Number of rows; `None` for a stream.

    Raises:
        ValueError: A column is missing or has another type; the types of a stream are not known; there are fewer rows
            than were read before.
    """

    def __init__(self, split: Dataset | IterableDataset, name: str, position: Position = START) -> None:
        from datasets import Dataset, Image

        self._name, self._where = name, f"split {name!r}"
        self.features: Features = _check_features(split, self._where)
        columns = [column for column in COLUMNS if column in split.features]
        if not isinstance(split, Dataset):
            split = split.decode(False)  # a cast would come too late: threads of a remote stream decode ahead
        split = split.select_columns(columns).cast_column("image", Image(decode=False))
        self._has_ids = "image_id" in columns
        self.is_stream = not isinstance(split, Dataset)
        self.num_rows: int | None = None if self.is_stream else len(split)
        self._all, self._rows = split, position["rows"]
        if self.num_rows is not None and self.num_rows < position["rows"]:
            raise ValueError(
                f"{self._where}: {position['rows']} images were prepared, but the source has {self.num_rows}"
            )
        if self.num_rows is not None:  # `select` refuses an empty range at the end, but takes an empty list
            split = split.select(range(position["rows"], self.num_rows) if position["rows"] < self.num_rows else [])
        elif position["state"] is not None:
            split.load_state_dict(position["state"])
        self._rest = split

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the remaining rows, each with the stored `image`, `label` and `image_id`."""
        for row in self._rest:
            named = row if self._has_ids else {**row, "image_id": f"{self._name}/{self._rows:06d}"}
            self._rows += 1
            yield named

    @property
    def position(self) -> Position:
        """Position of the row after the last one that was yielded."""
        return Position(rows=self._rows, state=self._rest.state_dict() if self.is_stream else None)

    @property
    def expected_rows(self) -> int | None:
        """Number of rows for a progress bar; for a stream the number in its data card, or `None` if there is none."""
        if self.num_rows is not None:
            return self.num_rows
        known = (self._all.info.splits or {}).get(str(self._all.split))
        return None if known is None else int(known.num_examples)

    def check_ids(self, image_ids: list[str]) -> None:
        """Check that the rows written before came from this source. A stream is not checked: its ids are not known.

        Args:
            image_ids: The ids of the first rows, including those of images that were left out.

        Raises:
            ValueError: The first rows of the source have other ids.
        """
        if self.is_stream or not self._has_ids:
            return
        own = column_values(self._all, "image_id")[: len(image_ids)]
        if own != image_ids:
            row = next((row for row, pair in enumerate(zip(own, image_ids)) if pair[0] != pair[1]), len(own))
            raise ValueError(
                f"{self._where}: row {row} was prepared from {image_ids[row]!r}, which is not there any more: the "
                "source has changed. Remove the prepared folder, or name another output_dir"
            )


def _check_features(split: Dataset | IterableDataset, where: str) -> Features:
    from datasets import Features, Image, Value

    if split.features is None:
        raise ValueError(
            f"{where}: the stream does not declare the types of its columns; load it without streaming, or give it its "
            "features"
        )
    absent = [column for column in ("image", "label") if column not in split.features]
    if absent:
        raise ValueError(f"{where}: no column {', '.join(absent)}; it has {', '.join(split.features)}")
    found = {"image_id": Value("string"), **split.features}
    features = Features({column: found[column] for column in COLUMNS})
    if not isinstance(features["image"], Image) or features["image_id"] != Value("string"):
        raise ValueError(f"{where}: expected image: Image and image_id: string; got {dict(features)}")
    return Features({**features, "image": Image()})
