"""Where the ground truth of a revisited data set lies, and how many images it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .revisited_ground_truth import RevisitedGroundTruth

if TYPE_CHECKING:
    from os import PathLike

CONVERTED, OFFICIAL = ".json", ".pkl"
# Queries and gallery images, as the official ground truth has them.
OFFICIAL_COUNTS = {"roxford5k": (70, 4_993), "rparis6k": (70, 6_322)}
SOURCES = {"roxford5k": "oxbuildings/oxbuild_images-v1.tgz", "rparis6k": "parisbuildings/paris_{1,2}-v1.tgz"}


def find_ground_truth(
    name: str, data_dir: str | PathLike[str] | None, suffixes: tuple[str, ...] = (CONVERTED, OFFICIAL)
) -> Path:
    """Find the converted ground truth, or else the official pickle.

    Raises:
        FileNotFoundError: There is neither; the message says where to get it.
        ValueError: The name cannot be part of a path.
    """
    if not name.isidentifier():
        raise ValueError(f"expected a name of letters, digits and underscores, got {name!r}")
    if data_dir is not None:
        for suffix in suffixes:
            for place in ("", name, f"test/{name}", f"datasets/{name}"):  # the last two: of the official programs
                path = Path(data_dir).expanduser() / place / f"gnd_{name}{suffix}"
                if path.is_file():
                    return path
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
    """Return the file of the ground truth, and what it holds.

    Raises:
        FileNotFoundError: As `find_ground_truth`.
        ValueError: The name is not known or the counts are not the official ones, where they are checked; or the file
            is damaged, hostile or contradicts itself.
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
