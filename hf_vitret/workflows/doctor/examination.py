"""Run all checks of the doctor on a data set: single images, classes, duplicates and, with a model, labels."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from .checks.class_names import find_doubtful_names
from .checks.classes import count_splits, find_classes_without_positives, find_wrong_counts
from .checks.duplicates import describe_duplicates, find_duplicates
from .checks.fingerprints import take_fingerprints
from .checks.image_facts import without_pixel_limit
from .checks.image_table import ImageTable
from .checks.left_out import find_left_out
from .checks.mislabels import find_mislabels, find_neighbors, group_similar
from .findings import Report, sort_findings
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from datasets import Dataset
    from torch import nn


def examine(
    dataset: Mapping[str, Dataset],
    *,
    name: str = "",
    official_counts: Mapping[str, tuple[int, int]] | None = None,
    left_out: Sequence[Mapping[str, Any]] = (),
    model: nn.Module | None = None,
    settings: Settings | None = None,
    batch_size: int = 64,
    num_threads: int | None = None,
    progress: bool = True,
) -> Report:
    """Examine the images, classes and splits of a data set for defects.

    Each image is read once, a JPEG at a fraction of its size. Images that may have equal pixels are decoded once more
    at full size. About a kilobyte per image is kept in memory.

    Args:
        dataset: Splits with the columns `image`, `label` and `image_id`, as `load_retrieval_dataset` returns them. Load
            it with `check_counts=False` to have wrong counts reported as a finding instead of raised as an error.
        name: Name of the data set in the report.
        official_counts: Split -> its official numbers of images and classes, such as `OFFICIAL_COUNTS` in a module of
            `hf_vitret.data.benchmarks`. Default: counts are not compared.
        left_out: The files of the data that no split has, by reason, as `LeftOut.to_json` returns them. Default: none.
        model: A `ViTRetModel`, to find duplicates by embedding and images that are probably mislabelled. Default:
            these checks are left out.
        settings: The limits of the checks. Default: `Settings()`.
        batch_size: Number of images that the model embeds at once.
        num_threads: Number of threads that read and decode. Default: one per CPU, at most 16.
        progress: Whether to show progress bars.

    Returns:
        The report. `write_report` writes it to files, and `format_report` formats it as text.

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
    findings = (
        find_wrong_counts(counts)
        + find_classes_without_positives(table)
        + find_doubtful_names(table)
        + find_left_out(left_out)
    )
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
