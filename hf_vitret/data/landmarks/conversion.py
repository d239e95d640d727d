"""Ground truth that is published as a pickle, written as JSON once, so that no pickle need be read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .revisited_files import CONVERTED, OFFICIAL, find_ground_truth
from .revisited_ground_truth import RevisitedGroundTruth
from .sfm120k_lists import NAME, WHITENING, find_lists, read_lists, write_lists

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

SFM120K = "sfm120k"


def convert_ground_truth(name: str, data_dir: str | PathLike[str]) -> list[Path]:
    """Write the lists of SfM-120k, or the ground truth of a revisited set, as JSON beside their pickles.

    The loaders take the JSON file where there is one. Nothing is lost, and no image is needed.

    Args:
        name: `"sfm120k"` (with the lists for whitening where they are there), `"roxford5k"`, `"rparis6k"`, or the name
            of another set in the revisited format.
        data_dir: As `load_sfm120k` and `load_revisited` take it.

    Returns:
        The files that were written. They replace what is there.

    Raises:
        FileNotFoundError: There is no pickle.
        ValueError: A pickle is damaged, hostile or contradicts itself; nothing is written for it.
    """
    if name != SFM120K:
        pickled = find_ground_truth(name, data_dir, (OFFICIAL,))
        written = pickled.with_suffix(CONVERTED)
        RevisitedGroundTruth.from_pickle(pickled).save(written)
        return [written]
    pickles = [find_lists(data_dir, NAME, (OFFICIAL,))]
    whitening = pickles[0].with_name(f"{WHITENING}{OFFICIAL}")
    if whitening.is_file():
        pickles.append(whitening)
    for pickled in pickles:
        write_lists(pickled.with_suffix(CONVERTED), read_lists(pickled))
    return [pickled.with_suffix(CONVERTED) for pickled in pickles]
