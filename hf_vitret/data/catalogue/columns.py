"""Bring any image column, label column and kind of image id into the one schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import COLUMNS, column_values, name_some

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset, DatasetDict


def to_schema(splits: dict[str, Dataset], image_column: str, label_column: str, source: str) -> DatasetDict:
    """Name the columns as the schema does, number the classes over all splits, and give each image an id.

    Args:
        splits: Name of the split, as in the schema, to its data set.
        image_column: Its images: `Image`, or what `Image` can be made of: bytes, paths, struct<bytes, path>.
        label_column: Its classes: text, whole numbers or `ClassLabel`.
        source: Where the data comes from, for the errors.

    Returns:
        The splits with the columns of the schema; all share one `ClassLabel`, whose names are sorted.

    Raises:
        ValueError: The image column is none of these, or labels are null, empty or of another type.
    """
    from datasets import ClassLabel, DatasetDict, Image, Value

    for split in splits.values():
        feature = split.features[image_column]
        if not (isinstance(feature, Image) or _holds_images(feature)):
            raise ValueError(
                f"{source}: column {image_column!r} is {feature}; expected Image, or bytes, paths or "
                "struct<bytes, path>. Name the image column with image_column=..."
            )
    names = {
        name: _read_class_names(split, label_column, f"{source}, split {name!r}") for name, split in splits.items()
    }
    every_name = sorted({label for labels in names.values() for label in labels}, key=_class_order(names))
    feature = ClassLabel(names=every_name)
    catalogue = DatasetDict()
    image_ids = _make_image_ids(splits, image_column)
    for name, split in splits.items():
        images = split.select_columns([image_column]).cast_column(image_column, Image())
        if image_column != "image":
            images = images.rename_column(image_column, "image")
        labelled = images.add_column("label", [feature.str2int(label) for label in names[name]])
        labelled = labelled.cast_column("label", feature).add_column("image_id", image_ids[name])
        catalogue[name] = labelled.cast_column("image_id", Value("string")).select_columns(list(COLUMNS))
    return catalogue


def _holds_images(feature: Any) -> bool:
    """Say whether `datasets` can cast a column of this feature to `Image`."""
    if isinstance(feature, dict):  # a struct, as `Image` is stored where its feature was lost
        return set(feature) == {"bytes", "path"}
    return getattr(feature, "dtype", None) in ("string", "large_string", "binary", "large_binary")


def _class_order(names: dict[str, list[str]]) -> Callable[[str], Any]:
    """Sort whole numbers as numbers (2 before 10) and everything else as text."""
    is_number = all(label.removeprefix("-").isdecimal() for labels in names.values() for label in labels)
    return (lambda label: (int(label), label)) if is_number else str


def _read_class_names(split: Dataset, label_column: str, source: str) -> list[str]:
    """Return the class name of each row, whatever the type of the label column."""
    from datasets import ClassLabel

    feature = split.features[label_column]
    labels = column_values(split, label_column)
    if isinstance(feature, ClassLabel):
        # -1 is how `datasets` writes a label that is not given.
        labels = [None if label is None or label < 0 else feature.int2str(label) for label in labels]
    null_rows = [row for row, label in enumerate(labels) if label is None or label == ""]
    if null_rows:
        raise ValueError(
            f"{source}: column {label_column!r} is null in {len(null_rows)} rows: {name_some(null_rows)}. "
            "Give each image a class, or drop those rows"
        )
    check_label_feature(feature, label_column, source)
    return [str(label) for label in labels]


def check_label_feature(feature: Any, label_column: str, source: str) -> None:
    """Check that a column can hold the names of classes.

    Raises:
        ValueError: It holds neither text nor whole numbers nor is it a `ClassLabel`.
    """
    from datasets import ClassLabel, Value

    is_whole = isinstance(feature, Value) and feature.dtype.startswith(("int", "uint"))
    is_text = feature in (Value("string"), Value("large_string"))
    if not (is_whole or is_text or isinstance(feature, ClassLabel)):
        raise ValueError(
            f"{source}: column {label_column!r} is {getattr(feature, 'dtype', feature)}; expected text, "
            "whole numbers or ClassLabel. A class is a name: write fractions as text (pandas makes whole "
            "numbers fractions where some are missing)"
        )


def _make_image_ids(splits: dict[str, Dataset], image_column: str) -> dict[str, list[str | None]]:
    """Give each image an id: the source's own, else its relative path if unique, else `<split>/<row>`.

    Absolute paths are not used: they name one machine, and an id goes into indexes and model cards.
    """
    if all("image_id" in split.column_names for split in splits.values()):
        ids = {name: column_values(split, "image_id") for name, split in splits.items()}
        # A null stays null: `check_schema` names its row.
        return {name: [value if value is None else str(value) for value in ids[name]] for name in ids}
    paths: dict[str, list[str | None]] = {}
    for name, split in splits.items():
        images = split.select_columns([image_column]).with_format("arrow")[:][image_column]
        has_path = images.type.num_fields == 2  # struct<bytes, path>: `Image` as it is stored
        paths[name] = [
            path
            for chunk in images.chunks
            for path in (chunk.field("path").to_pylist() if has_path else [None] * len(chunk))
        ]
    flat = [path for values in paths.values() for path in values]
    if all(path and not Path(path).is_absolute() for path in flat) and len(set(flat)) == len(flat):
        return paths
    return {name: [f"{name}/{row:06d}" for row in range(len(values))] for name, values in paths.items()}
