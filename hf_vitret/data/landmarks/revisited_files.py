"""Find and read the ground truth of a revisited data set, and check its numbers of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmarks.official_files import first_file
from .revisited_ground_truth import RevisitedGroundTruth

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

CONVERTED, OFFICIAL = ".json", ".pkl"
# Numbers of queries and of gallery images in the official ground truth.
OFFICIAL_COUNTS = {"roxford5k": (70, 4_993), "rparis6k": (70, 6_322)}
SOURCES = {"roxford5k": "oxbuildings/oxbuild_images-v1.tgz", "rparis6k": "parisbuildings/paris_{1,2}-v1.tgz"}


def find_ground_truth(
    name: str, data_dir: str | PathLike[str] | None, suffixes: tuple[str, ...] = (CONVERTED, OFFICIAL)
) -> Path:
    """Find the ground truth converted to JSON, or else the official pickle.

    Args:
        name: Name of the data set, such as `"roxford5k"`.
        data_dir: The folder of the file, its parent, or the root folder of the official programs; `None` finds nothing.
        suffixes: The suffixes to look for, in the order of preference.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: There is no such file; the message says where to get it.
        ValueError: The name has other characters than letters, digits and underscores.
    """
    if not name.isidentifier():
        raise ValueError(f"expected a name of letters, digits and underscores, got {name!r}")
    # The official programs use the last two folders.
    folders = ("", name, f"test/{name}", f"datasets/{name}")
    found = first_file(data_dir, folders, [f"gnd_{name}{suffix}" for suffix in suffixes])
    if found is not None:
        return found
    where = None if data_dir is None else str(data_dir)
    if name not in SOURCES:
        raise FileNotFoundError(f"gnd_{name}.pkl is not at data_dir={where!r}: pass the folder that it lies in")
    raise FileNotFoundError(
        f"gnd_{name}.pkl is not at data_dir={where!r}. Get it from "
        f"http://cmp.felk.cvut.cz/revisitop/data/datasets/{name}/gnd_{name}.pkl\n"
        f"and the images from https://www.robots.ox.ac.uk/~vgg/data/{SOURCES[name]}, and pass data_dir=<the folder "
        f"with both>: expected gnd_{name}.pkl and jpg/ or the archives"
    )


def read_ground_truth(
    name: str, data_dir: str | PathLike[str] | None, *, check_counts: bool
) -> tuple[Path, RevisitedGroundTruth]:
    """Find and read the ground truth of a revisited data set.

    Args:
        name: `"roxford5k"` or `"rparis6k"`; with `check_counts=False` the name of any data set in their format.
        data_dir: The folder of the file, its parent, or the root folder of the official programs.
        check_counts: Whether to check the name and the numbers of images against the official ones.

    Returns:
        The path of the file, and the ground truth in it.

    Raises:
        FileNotFoundError: There is no such file; the message says where to get it.
        ValueError: The name is not known or the counts are not the official ones; or the file is damaged, hostile or
            contradictory.
    """
    if check_counts and name not in OFFICIAL_COUNTS:
        raise ValueError(
            f"unknown revisited data set {name!r}: the known ones are {', '.join(OFFICIAL_COUNTS)}. For another set in "
            "their format pass check_counts=False"
        )
    path = find_ground_truth(name, data_dir)
    is_converted = path.suffix == CONVERTED
    truth = RevisitedGroundTruth.load(path) if is_converted else RevisitedGroundTruth.from_pickle(path)
    found = (len(truth.query_ids), len(truth.gallery_ids))
    if check_counts and found != OFFICIAL_COUNTS[name]:
        queries, gallery = OFFICIAL_COUNTS[name]
        raise ValueError(
            f"{path}: expected {queries} queries and a gallery of {gallery:,}, found {found[0]} and {found[1]:,}. Get "
            "the official file again, or pass check_counts=False (results are then not comparable)"
        )
    return path, truth
