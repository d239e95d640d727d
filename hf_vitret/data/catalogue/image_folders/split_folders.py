"""Decide whether the top folders of a folder of images are its splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ...schema import name_some
from ..splits import find_role
from .class_levels import describe_levels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..splits import SplitNames
    from .class_levels import Folder


def find_split_folders(
    root: Path, sizes: Mapping[Folder, int], names: SplitNames, class_level: int | None, *, has_metadata: bool
) -> list[str] | None:
    """Return the top folders that are splits and are used, or `None` if the top folders are no splits.

    They are splits if options name them, or if some have the names of different splits (`ROLES`), which
    `SplitNames.resolve` then takes or asks about. Top folders with other names that hold sub-folders of the same names
    can be splits, or parts of the names of the classes: that is an error that asks.

    Args:
        root: The folder.
        sizes: Number of images directly in each folder that holds some, by the names of the folders below the root.
        names: The names of the splits that the user gives.
        class_level: The folder of a path that is the class, as the user gives it.
        has_metadata: Whether tables, and not the folders, name the classes.

    Returns:
        The names of the folders, in alphabetic order; a folder with the name of a split that has no images is among
        them.

    Raises:
        ValueError: A folder that the user names does not exist; or folders look like splits and are no known pair; or
            they look like splits and their images are in no class folder; or they may be splits or not.
    """
    tops: Counter[str] = Counter()
    inner: dict[str, set[str]] = defaultdict(set)  # sub-folders of each top folder
    loose = set()  # top folders that hold images directly
    for folder, size in sizes.items():
        if folder:
            tops[folder[0]] += size
            if len(folder) > 1:
                inner[folder[0]].add(folder[1])
            else:
                loose.add(folder[0])
    if not tops:
        return None
    for path in root.iterdir():
        if find_role(path.name) and path.name not in tops and path.is_dir():
            tops[path.name] = 0
    ordered = {name: tops[name] for name in sorted(tops)}
    named = set(names.given.values())
    # The only split of a folder without splits is called train; names that are no folders may be of a column `split`.
    if named and named != {"train"} - set(tops) and not (has_metadata and named - set(tops)):
        return _used(root, ordered, names)
    roles = {name: find_role(name) for name in tops if find_role(name)}
    if len(roles) > 1 and ("train" in roles.values() or {"query", "gallery"} <= set(roles.values())):
        if inner.keys() & roles.keys() or has_metadata:
            return _used(root, ordered, names)
        if class_level is None:
            listed = name_some([f"{name} ({tops[name]} images)" for name in ordered if name in roles])
            raise ValueError(
                f"{root}: the folders {listed} have the names of splits, and hold images without a folder of their "
                "class. Expected <split>/<class>/<image>, or a metadata.csv with the columns file_name and label; or "
                "class_level=1 (on the command line --class_level 1) if these folders are classes"
            )
    elif class_level is None and not has_metadata and not loose:
        _check_repeats(root, ordered, inner, sizes)
    return None


def _used(root: Path, tops: Mapping[str, int], names: SplitNames) -> list[str]:
    """Return the split folders that a run uses."""
    if names.everything and not names.given:
        return list(tops)
    used = names.resolve(tops, f"{root}, by its top folders").values()
    return [name for name in tops if name in used]


def _check_repeats(
    root: Path, tops: Mapping[str, int], inner: Mapping[str, set[str]], sizes: Mapping[Folder, int]
) -> None:
    """Raise ValueError if half or more of the names of sub-folders are in several top folders."""
    counts = Counter(name for names in inner.values() for name in names)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if not repeated or 2 * len(repeated) < len(counts):
        return
    listed = name_some([f"{name} ({size} images)" for name, size in tops.items()])
    raise ValueError(
        f"{root}: {len(repeated)} of {len(counts)} names of sub-folders ({name_some(repeated)}) are in several of the "
        f"top folders {listed}. If the top folders are splits, name them: train_split and test_split, or query_split "
        "and gallery_split (on the command line --train_split NAME --test_split NAME). If they are not, say with "
        f"class_level (--class_level N) what is the class: {describe_levels(sizes)}"
    )
