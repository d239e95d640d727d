"""Convert the columns of images, labels and ids, of any type, to the schema of the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import COLUMNS, column_values, find_missing_labels, name_some

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset, DatasetDict


def to_schema(splits: dict[str, Dataset], image_column: str, label_column: str, source: str) -> DatasetDict:
    """Rename the columns to those of the schema, number the classes over all splits, and give each image an id.

    Args:
        splits: Name of each split, as in the schema, to its data set.
        image_column: Column of the images: `Image`, or a type that can be cast to it: bytes, paths or
            struct<bytes, path>.
        label_column: Column of the classes: text, whole numbers or `ClassLabel`.
        source: The origin of the data, for the errors.

    Returns:
        The splits with the columns of the schema. All share one `ClassLabel` with sorted names.

    Raises:
        ValueError: The image column has another type, or labels are missing (`find_missing_labels`) or of
            another type.
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


def _holds_images(feature: Any) -> bool:
    """Return whether `datasets` can cast a column of this feature to `Image`."""
    if isinstance(feature, dict):  # a struct: the storage of `Image` in a file that has lost its features
        return set(feature) == {"bytes", "path"}
    return getattr(feature, "dtype", None) in ("string", "large_string", "binary", "large_binary")


def _class_order(names: dict[str, list[str]]) -> Callable[[str], Any]:
    """Return the sort key of class names: numeric if all are whole numbers (2 before 10), else alphabetic."""
    is_number = all(label.removeprefix("-").isdecimal() for labels in names.values() for label in labels)
    return (lambda label: (int(label), label)) if is_number else str


def _read_class_names(split: Dataset, label_column: str, source: str) -> list[str]:
    """Return the class name of each row, for a label column of any type."""
    from datasets import ClassLabel

    feature = split.features[label_column]
    labels = column_values(split, label_column)
    null_rows = find_missing_labels(labels, feature)
    if null_rows:
        raise ValueError(
            f"{source}: column {label_column!r} is null in {len(null_rows)} rows: {name_some(null_rows)}. "
            "Give each image a class, or drop those rows"
        )
    if isinstance(feature, ClassLabel):
        labels = [feature.int2str(label) for label in labels]
    check_label_feature(feature, label_column, source)
    return [str(label) for label in labels]


def check_label_feature(feature: Any, label_column: str, source: str) -> None:
    """Check that the type of a label column can name classes.

    Args:
        feature: The feature of the column.
        label_column: Name of the column, for the error.
        source: The origin of the data, for the error.

    Raises:
        ValueError: The feature is neither text nor whole numbers nor `ClassLabel`.
    """
    from datasets import ClassLabel, Value

    is_whole = isinstance(feature, Value) and feature.dtype.startswith(("int", "uint"))
    is_text = feature in (Value("string"), Value("large_string"))
    if not (is_whole or is_text or isinstance(feature, ClassLabel)):
        raise ValueError(
            f"{source}: column {label_column!r} is {getattr(feature, 'dtype', feature)}; expected text, "
            "whole numbers or ClassLabel. A class is a name: convert fractions to text (pandas converts whole numbers "
            "to fractions if some are missing)"
        )


def _make_image_ids(splits: dict[str, Dataset], image_column: str) -> dict[str, list[str | None]]:
    """Return the id of each image: that of the source, else its relative path if unique, else `<split>/<row>`.

    Absolute paths are not used, because ids go into indexes and model cards, and such a path exists on one machine.
    """
    if all("image_id" in split.column_names for split in splits.values()):
        ids = {name: column_values(split, "image_id") for name, split in splits.items()}
        # A null stays null, so that `check_schema` can name its row.
        return {name: [value if value is None else str(value) for value in ids[name]] for name in ids}
    paths: dict[str, list[str | None]] = {}
    for name, split in splits.items():
        images = split.select_columns([image_column]).with_format("arrow")[:][image_column]
        has_path = images.type.num_fields == 2  # struct<bytes, path>, the storage of `Image`
        paths[name] = [
            path
            for chunk in images.chunks
            for path in (chunk.field("path").to_pylist() if has_path else [None] * len(chunk))
        ]
    flat = [path for values in paths.values() for path in values]
    if all(path and not Path(path).is_absolute() for path in flat) and len(set(flat)) == len(flat):
        return paths
    return {name: [f"{name}/{row:06d}" for row in range(len(values))] for name, values in paths.items()}
