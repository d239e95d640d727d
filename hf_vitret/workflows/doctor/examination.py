"""Examine a data set: every image once, every pair of images, and with a model what it sees in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from .checks.classes import count_splits, find_lonely_classes, find_wrong_counts
from .checks.duplicates import describe_duplicates, find_duplicates
from .checks.fingerprints import take_fingerprints
from .checks.image_facts import without_pixel_limit
from .checks.image_table import ImageTable
from .checks.mislabels import find_mislabels, find_neighbors, group_similar
from .findings import Report, sort_findings
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset
    from torch import nn


def examine(
    dataset: Mapping[str, Dataset],
    *,
    name: str = "",
    official_counts: Mapping[str, tuple[int, int]] | None = None,
    model: nn.Module | None = None,
    settings: Settings | None = None,
    batch_size: int = 64,
    num_threads: int | None = None,
    progress: bool = True,
) -> Report:
    """Examine the images, classes and splits of a data set.

    Images are read once, JPEGs at a fraction of their size; those that may be the same picture once more at full size.
    About a kilobyte of each is kept in memory, whatever is found.

    Args:
        dataset: Splits with the columns `image`, `label` and `image_id`, as `load_retrieval_dataset` returns them (with
            `check_counts=False`, where counts are to be a finding and no error).
        name: Of the data set, for the report.
        official_counts: Split to its numbers of images and classes, as `OFFICIAL_COUNTS` of a loader's module.
        model: A `ViTRetModel`, for duplicates by embedding and for images that are probably mislabelled; `None` leaves
            these checks out.
        settings: Limits; default: `Settings()`.
        batch_size: Images that the model embeds at once.
        num_threads: Threads that read and decode; default: one per CPU, 16 at most.
        progress: Whether to show bars.

    Returns:
        The report; `write_report` writes it, `format_report` makes a table of it.

    Raises:
        ValueError: An embedding is not finite.

    Example:
        >>> dataset = load_retrieval_dataset("catalogue", data_dir="photos")  # doctest: +SKIP
        >>> report = examine(dataset)  # doctest: +SKIP
        >>> [(row.kind, row.num_images) for row in report.summary]  # doctest: +SKIP
        [('unreadable', 1), ('same_file:across_splits', 2)]
    """
    settings = settings or Settings()
    table = ImageTable(dataset)
    counts = count_splits(table, official_counts)
    findings = find_wrong_counts(counts) + find_lonely_classes(table)
    with without_pixel_limit():
        prints, oddities = take_fingerprints(table, settings, num_threads=num_threads, progress=progress)
        findings += oddities
        groups = find_duplicates(table, prints, settings, num_threads=num_threads, progress=progress)
        numbers = np.flatnonzero(prints.is_decoded & ~prints.is_flat)
        if model is not None and len(numbers):
            scores, neighbors = find_neighbors(
                table, numbers, model, settings.num_neighbors, batch_size=batch_size, progress=progress
            )
            groups["similar_embedding"] = group_similar(len(table), numbers, scores, neighbors, settings.min_cosine)
            findings += find_mislabels(table, numbers, scores, neighbors)
    findings += describe_duplicates(table, groups)
    return Report(name, counts, sort_findings(findings), {**asdict(settings), "has_model": model is not None})
