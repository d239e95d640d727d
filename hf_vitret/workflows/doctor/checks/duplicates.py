"""Images that are one: the same file, the same pixels, or nearly the same picture, and where they are."""

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

Groups = list[np.ndarray]  # each `(num_members,)` int64, ascending: numbers of an `ImageTable`


def find_duplicates(
    table: ImageTable,
    prints: Fingerprints,
    settings: Settings,
    *,
    num_threads: int | None = None,
    progress: bool = True,
) -> dict[str, Groups]:
    """Group the images that are one.

    Args:
        table: The images; those that may share their pixels are decoded once more, at full size.
        prints: Their fingerprints.
        settings: How much near duplicates may differ.
        num_threads: Threads that decode.
        progress: Whether to show bars.

    Returns:
        Groups of two or more by how alike they are, strictest first: `same_file`, `same_pixels` and `near_duplicate`.
        An image is in one group of each at most. Flat images are grouped by file and pixels only.
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
    """Make a finding of each group, by how alike its images are and where they are.

    Args:
        table: The images.
        groups: By how alike, strictest first, as `find_duplicates` returns them.

    Returns:
        The findings. A group all of whose images are in one stricter group is left out.
    """
    findings = []
    covered: list[np.ndarray] = []  # for each stricter kind the group of each image, -1 where it has none
    for alike, found in groups.items():
        group_of = np.full(len(table), -1, dtype=np.int64)
        for code, group in enumerate(found):
            group_of[group] = code
            if not any(
                stricter[group[0]] >= 0 and (stricter[group] == stricter[group[0]]).all() for stricter in covered
            ):
                findings.append(_describe_group(table, alike, group))
        covered.append(group_of)
    return findings


def _may_share_pixels(prints: Fingerprints, near: DisjointSets) -> np.ndarray:
    """Return the numbers of the decoded images, ascending, that have a size and a look in common with another file.

    Pixels that are the same give the same hash but for the reduced size at which a JPEG was decoded, and therefore are
    near duplicates; of flat images any two of one size may share them.
    """
    numbers = np.flatnonzero(prints.is_decoded)
    looks = np.where(prints.is_flat, -1, near.roots)[numbers]
    keys = np.rec.fromarrays([looks, prints.sizes[numbers, 0], prints.sizes[numbers, 1]])
    groups = equal_groups(keys, numbers)
    several = [group for group in groups if len(np.unique(prints.file_digests[group])) > 1]
    return np.sort(np.concatenate(several)) if several else np.empty(0, dtype=np.int64)


def _group_by_pixels(
    table: ImageTable, prints: Fingerprints, suspects: np.ndarray, num_threads: int | None, progress: bool
) -> Groups:
    """Decode the suspects at full size, each file once, and group those of the same pixels."""
    from tqdm.auto import tqdm

    files, first, file_of = np.unique(prints.file_digests[suspects], return_index=True, return_inverse=True)
    digests = map_in_order(lambda number: pixel_digest(table.stored(int(number))), suspects[first], num_threads)
    bar = tqdm(digests, total=len(files), desc="Comparing pixels", unit="img", disable=not progress or not len(files))
    pixels = np.array([np.void(digest) for digest in bar], dtype=prints.file_digests.dtype)
    return equal_groups(pixels[file_of.reshape(-1)], suspects)


def _describe_group(table: ImageTable, alike: str, group: np.ndarray) -> Finding:
    images = tuple(table[int(number)] for number in group)
    splits = list(dict.fromkeys(image.split for image in images))
    classes = list(dict.fromkeys(image.class_name for image in images))
    where = "inside_class" if len(classes) == 1 else "across_classes"
    if len(splits) > 1:  # the graver of the two
        where = "across_splits"
    of_classes = f"class {classes[0]}" if len(classes) == 1 else f"{len(classes)} classes"
    return Finding(f"{alike}:{where}", f"{len(images)} images in {' and '.join(splits)}, of {of_classes}", images)
