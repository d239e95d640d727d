"""Count the images and classes of each split, and find wrong counts and classes without a positive pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..findings import Finding, SplitCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .image_table import ImageTable


def count_splits(table: ImageTable, official: Mapping[str, tuple[int, int]] | None = None) -> tuple[SplitCounts, ...]:
    """Count the images and classes of each split.

    Args:
        table: The images.
        official: Split -> its numbers of images and classes as the authors of the data set state them.

    Returns:
        The counts of each split, with the official counts if there are any.
    """
    counts = []
    for code, split in enumerate(table.splits):
        classes = table.class_codes[table.split_codes == code]
        expected = (official or {}).get(split, (None, None))
        counts.append(SplitCounts(split, len(classes), len(np.unique(classes)), *expected))
    return tuple(counts)


def find_wrong_counts(counts: tuple[SplitCounts, ...]) -> list[Finding]:
    """Return a finding for each split whose counts differ from the official ones."""
    return [
        Finding(
            "counts",
            f"{row.split}: expected {row.official_images:,} images of {row.official_classes:,} classes, found "
            f"{row.num_images:,} of {row.num_classes:,}",
            split=row.split,
        )
        for row in counts
        if row.official_images is not None
        and row.official_classes is not None
        and (row.num_images, row.num_classes) != (row.official_images, row.official_classes)
    ]


def find_classes_without_positives(table: ImageTable) -> list[Finding]:
    """Find the classes that have no positive pair.

    Args:
        table: The images.

    Returns:
        For splits such as train and test, in which each image is searched among the others of its split, a finding for
        each class of one image. For query and gallery, a finding for each class of queries that has no image in the
        gallery, with all queries of the class.
    """
    codes = {split: code for code, split in enumerate(table.splits)}
    findings = []
    for split in table.splits:
        if split in ("query", "gallery"):
            continue
        numbers = np.flatnonzero(table.split_codes == codes[split])
        _, first, sizes = np.unique(table.class_codes[numbers], return_index=True, return_counts=True)
        for number in np.sort(numbers[first[sizes == 1]]):
            image = table[int(number)]
            detail = f"class {image.class_name} has one image in {split}"
            findings.append(Finding("single_image_class", detail, (image,)))
    if "query" in codes and "gallery" in codes:
        queries = np.flatnonzero(table.split_codes == codes["query"])
        query_classes = table.class_codes[queries]
        gallery_classes = table.class_codes[table.split_codes == codes["gallery"]]
        unanswerable = queries[~np.isin(query_classes, gallery_classes)]
        for code in dict.fromkeys(table.class_codes[unanswerable].tolist()):
            images = tuple(table[int(number)] for number in unanswerable[table.class_codes[unanswerable] == code])
            detail = f"class {table.class_names[code]} has no image in the gallery"
            findings.append(Finding("query_without_positive", detail, images))
    return findings
