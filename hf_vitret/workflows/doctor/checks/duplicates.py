"""Find groups of duplicate images: equal files, equal pixels and near duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....data.in_order import map_in_order
from ..findings import Finding
from .disjoint_sets import DisjointSets, equal_groups
from .image_facts import pixel_digest
from .near_duplicates import join_near_duplicates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..settings import Settings
    from .fingerprints import Fingerprints
    from .image_table import ImageTable

Groups = list[np.ndarray]  # each `(num_members,)` int64, ascending numbers of images in an `ImageTable`


def find_duplicates(
    table: ImageTable,
    prints: Fingerprints,
    settings: Settings,
    *,
    num_threads: int | None = None,
    progress: bool = True,
) -> dict[str, Groups]:
    """Group images that are duplicates of each other.

    Args:
        table: The images. Those that may have equal pixels are decoded again, at full size.
        prints: The fingerprints of the images.
        settings: The limits within which near duplicates may differ.
        num_threads: Number of threads that decode. Default: one per CPU, at most 16.
        progress: Whether to show progress bars.

    Returns:
        Similarity -> groups of two or more images, with the strictest similarity first: `same_file`, `same_pixels` and
        `near_duplicate`. An image is in at most one group of each similarity. Flat images, which show a single colour,
        are grouped by file and pixels only.
    """
    from tqdm.auto import tqdm

    everything = np.arange(len(table))
    same_file = equal_groups(prints.file_digests[prints.has_file], everything[prints.has_file])
    near = DisjointSets(len(table))
    for group in same_file:
        near.join(np.repeat(group[:1], len(group) - 1), group[1:])
    numbers = everything[prints.is_decoded & ~prints.is_flat]
    with tqdm(total=len(numbers), desc="Near duplicates", unit="img", disable=not progress) as bar:
        join_near_duplicates(
            near,
            prints.hashes,
            prints.thumbnails,
            numbers,
            max_distance=settings.max_distance,
            min_correlation=settings.min_correlation,
            advance=bar.update,
        )
    suspects = _may_share_pixels(prints, near)
    same_pixels = _group_by_pixels(table, prints, suspects, num_threads, progress)
    return {"same_file": same_file, "same_pixels": same_pixels, "near_duplicate": near.groups()}


def describe_duplicates(table: ImageTable, groups: Mapping[str, Groups]) -> list[Finding]:
    """Make a finding of each group, of a kind that states the similarity and the scope of its images.

    Args:
        table: The images.
        groups: Similarity -> groups of images, strictest similarity first, as `find_duplicates` returns them.

    Returns:
        The findings. A group is left out if all its images are in one group of a stricter similarity.
    """
    findings = []
    covered: list[np.ndarray] = []  # for each stricter similarity the group of each image, or -1
    for similarity, found in groups.items():
        group_of = np.full(len(table), -1, dtype=np.int64)
        for code, group in enumerate(found):
            group_of[group] = code
            if not any(
                stricter[group[0]] >= 0 and (stricter[group] == stricter[group[0]]).all() for stricter in covered
            ):
                findings.append(_describe_group(table, similarity, group))
        covered.append(group_of)
    return findings


def _may_share_pixels(prints: Fingerprints, near: DisjointSets) -> np.ndarray:
    """List the decoded images, ascending, that may have equal pixels in a different file.

    They have the size of another image and are its near duplicates: equal pixels give equal hashes, except for the
    reduced size at which a JPEG was decoded. Any two flat images of one size may have equal pixels.
    """
    numbers = np.flatnonzero(prints.is_decoded)
    near_groups = np.where(prints.is_flat, -1, near.roots)[numbers]
    keys = np.rec.fromarrays([near_groups, prints.sizes[numbers, 0], prints.sizes[numbers, 1]])
    groups = equal_groups(keys, numbers)
    several = [group for group in groups if len(np.unique(prints.file_digests[group])) > 1]
    return np.sort(np.concatenate(several)) if several else np.empty(0, dtype=np.int64)


def _group_by_pixels(
    table: ImageTable, prints: Fingerprints, suspects: np.ndarray, num_threads: int | None, progress: bool
) -> Groups:
    """Decode the suspects at full size, each distinct file once, and group those with equal pixels."""
    from tqdm.auto import tqdm

    files, first, file_of = np.unique(prints.file_digests[suspects], return_index=True, return_inverse=True)
    digests = map_in_order(lambda number: pixel_digest(table.stored(int(number))), suspects[first], num_threads)
    bar = tqdm(digests, total=len(files), desc="Comparing pixels", unit="img", disable=not progress or not len(files))
    pixels = np.array([np.void(digest) for digest in bar], dtype=prints.file_digests.dtype)
    return equal_groups(pixels[file_of.reshape(-1)], suspects)


def _describe_group(table: ImageTable, similarity: str, group: np.ndarray) -> Finding:
    images = tuple(table[int(number)] for number in group)
    splits = list(dict.fromkeys(image.split for image in images))
    classes = list(dict.fromkeys(image.class_name for image in images))
    scope = "inside_class" if len(classes) == 1 else "across_classes"
    if len(splits) > 1:  # more serious than across classes
        scope = "across_splits"
    of_classes = f"class {classes[0]}" if len(classes) == 1 else f"{len(classes)} classes"
    return Finding(f"{similarity}:{scope}", f"{len(images)} images in {' and '.join(splits)}, of {of_classes}", images)
