"""Convert ground truth that is published as a pickle to JSON, so that the pickle is read only once."""

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
    """Write the lists of SfM-120k, or the ground truth of a revisited data set, as JSON beside their pickles.

    The loaders prefer the JSON file, which has the same content as the pickle. No image is needed.

    Args:
        name: `"sfm120k"` (which includes the lists for whitening if they are there), `"roxford5k"`, `"rparis6k"`, or
            the name of another data set in the revisited format.
        data_dir: The folder that has the pickle, as for `load_sfm120k` or `load_revisited`.

    Returns:
        The files that were written. Existing files are replaced.

    Raises:
        FileNotFoundError: There is no pickle at `data_dir`; the message says where to get it.
        ValueError: A pickle is damaged, hostile or contradictory; no JSON file is written for it.
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
