"""The schema that every loader returns: the columns image, label and image_id, and the names of the splits."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset, DatasetDict

COLUMNS = ("image", "label", "image_id")
# `train` alone: all classes are trained on, and nothing is measured (`test_fraction=0`).
SPLITS = (("train", "test"), ("train", "query", "gallery"), ("train",))
MAX_NAMED = 10  # an error names this many items and counts the rest, which is enough to find the cause


def name_some(items: list[Any]) -> str:
    """Return the first `MAX_NAMED` items as text, and the number of the others: `'3, 7, 9 ... and 12 more'`."""
    named = ", ".join(str(item) for item in items[:MAX_NAMED])
    return named if len(items) <= MAX_NAMED else f"{named} ... and {len(items) - MAX_NAMED} more"


def column_values(dataset: Dataset, column: str) -> list[Any]:
    """Return one column as a list of Python values, without reading other columns or decoding images."""
    values: list[Any] = dataset.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    return values


def find_missing_labels(labels: Sequence[Any], feature: Any) -> list[int]:
    """Find the values of a label column that certainly stand for a missing label.

    These are `None`, NaN, text without visible characters, and -1 of a `ClassLabel`, as which `datasets` stores a
    missing label. A text such as "unknown", and a -1 in a column of numbers, may be classes; `hf-vitret doctor` reports
    them.

    Args:
        labels: The values of the column: text, numbers or `None`.
        feature: The feature of the column.

    Returns:
        The rows of these values, ascending.
    """
    from datasets import ClassLabel

    is_code = isinstance(feature, ClassLabel)
    return [
        row
        for row, label in enumerate(labels)
        if label is None
        or (not label.strip() if isinstance(label, str) else label != label or (is_code and label < 0))  # NaN != NaN
    ]


def check_schema(dataset: DatasetDict, source: str) -> DatasetDict:
    """Check that a data set has the schema of `load_retrieval_dataset`, without decoding an image.

    The function does not check whether train and test share classes, because that depends on the protocol.

    Args:
        dataset: The data set that a loader returned.
        source: Name of the data set, for the errors.

    Returns:
        The same data set.

    Raises:
        ValueError: The splits are none of `SPLITS`; a split has other columns or types, or no images; a label is
            missing (`find_missing_labels`); an image_id is null; an image_id occurs twice in all the splits together.
    """
    from datasets import ClassLabel, Image, Value

    if set(dataset) not in [set(splits) for splits in SPLITS]:
        expected = " or ".join(" + ".join(splits) for splits in SPLITS)
        raise ValueError(f"data set {source!r}: expected the splits {expected}, got {', '.join(dataset)}")
    seen: dict[str, str] = {}
    for split_name, split in dataset.items():
        where = f"data set {source!r}, split {split_name!r}"
        if set(split.column_names) != set(COLUMNS):
            raise ValueError(f"{where}: expected the columns {', '.join(COLUMNS)}, got {', '.join(split.column_names)}")
        if not len(split):
            raise ValueError(f"{where}: has no images; each split needs at least one")
        features = split.features
        is_label = isinstance(features["label"], ClassLabel) or features["label"] == Value("int64")
        if not (isinstance(features["image"], Image) and is_label and features["image_id"] == Value("string")):
            raise ValueError(
                f"{where}: expected image: Image, label: ClassLabel or int64, image_id: string; got {dict(features)}"
            )
        for column in ("label", "image_id"):
            values = column_values(split, column)
            if column == "label":
                null_rows = find_missing_labels(values, features[column])
            else:
                null_rows = [row for row, value in enumerate(values) if value is None]
            if null_rows:
                raise ValueError(f"{where}: {column} is null in rows {name_some(null_rows)}; give each row a {column}")
        repeated = []
        for image_id in column_values(split, "image_id"):
            if image_id in seen:
                repeated.append(f"{image_id!r} ({seen[image_id]} and {split_name})")
            seen[image_id] = split_name
        if repeated:
            raise ValueError(
                f"{where}: an image_id must be unique over all splits, but these repeat: {name_some(repeated)}"
            )
    return dataset


def describe_split(split: Dataset) -> dict[str, int | float]:
    """Count the images and classes of a split, for the log of the trainer and the model card.

    Args:
        split: A data set with a `label` column.

    Returns:
        `num_images`, `num_classes`, `min_images_per_class`, `median_images_per_class`, `max_images_per_class` and
        `num_single_image_classes`, the number of classes with one image, which form no positive pair. All are 0 for an
        empty split.
    """
    sizes = Counter(column_values(split, "label")).values()
    return {
        "num_images": sum(sizes),
        "num_classes": len(sizes),
        "min_images_per_class": min(sizes, default=0),
        "median_images_per_class": median(sizes) if sizes else 0,
        "max_images_per_class": max(sizes, default=0),
        "num_single_image_classes": sum(size == 1 for size in sizes),
    }
