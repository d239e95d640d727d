"""Read a folder of images: a folder for each class, split folders, or metadata files."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ...schema import name_some
from ..image_files import list_folder
from ..left_out import LeftOut, Reason, report
from ..splits import UNUSED, SplitNames, split_rows
from .class_levels import check_class_level, name_classes
from .metadata import METADATA_NAMES, PATH_COLUMN, read_metadata
from .split_folders import find_split_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from datasets import Dataset

logger = logging.getLogger(__name__)

NO_ROW = Reason("images that the metadata files do not list: add a row for each", is_image=True)


def read_folder(
    root: Path,
    image_column: str,
    label_column: str,
    names: SplitNames | None = None,
    class_level: int | None = None,
) -> dict[str, Dataset]:
    """Read a folder of images with a folder for each class, or with metadata files.

    - The class of an image is the name of the folder that directly contains it. In nested folders (`shoes/boots/1.jpg`)
      `class_level` chooses another; without it, folders of one name in several others are a warning or an error
      (`name_classes`).
    - The top folders are splits if they have the names of splits, or if `names` names them (`find_split_folders`).
    - If there are files `metadata.csv`, `metadata.jsonl` or `metadata.parquet`, their column `label_column` is the
      class (`read_metadata`). Images without a row are left out and counted. If the top folders are no splits, a column
      `split` divides the rows. With `class_level` the metadata files are not read, and the log says so.

    An empty class folder is logged and left out, so that it does not stop a run.

    Args:
        root: The folder.
        image_column: Name of the column for the images.
        label_column: Name of the column for the classes.
        names: The names of the splits that the user gives.
        class_level: The folder of a path that is the class: 1, the first below the root or the split; -1 or `None`,
            the one that holds the image.

    Returns:
        Name of each split, as in the folder (`train` if there are none), to its images, with the columns
        `image_column`, `label_column` (text, or as in the metadata files) and `image_id` (the path relative to `root`,
        or as in the metadata files).

    Raises:
        ValueError: An image is directly in the top folder or in the folder of a split, where no folder names its class;
            the splits or the classes can be read in several ways; or a metadata file is wrong.
    """
    check_class_level(class_level)
    names = names or SplitNames()
    listing = list_folder(root, keep=lambda name, _: name in METADATA_NAMES)
    left_out = listing.left_out if listing.images else listing.left_out.only_images()
    report(left_out, str(root), logger, _prefix(root))
    depth = len(root.parts)
    parts = [path.parts[depth:] for path in listing.images]
    sizes = Counter(one[:-1] for one in parts)
    metadata = listing.others if class_level is None and parts else []
    if listing.others and parts and not metadata:
        unread = name_some([path.relative_to(root).as_posix() for path in listing.others])
        logger.warning("%s: class_level is given, so folders name the classes and %s is not read", root, unread)
    splits = find_split_folders(root, sizes, names, class_level, has_metadata=bool(metadata))
    paths = ["/".join(one) for one in parts]
    if metadata:
        return _read_rows(metadata, root, paths, splits, image_column, label_column)
    return _read_classes(root, parts, splits, class_level, image_column, label_column)


def _read_classes(
    root: Path,
    parts: Sequence[tuple[str, ...]],
    splits: Sequence[str] | None,
    class_level: int | None,
    image_column: str,
    label_column: str,
) -> dict[str, Dataset]:
    """Take the class of each image from the folders of its path."""
    skipped = 1 if splits is not None else 0
    used = set(splits or ())
    groups: dict[str, list[tuple[str, ...]]] = {name: [] for name in splits or ["train"]}
    loose: dict[str, list[str]] = defaultdict(list)
    left_out = LeftOut()
    for one in parts:
        if len(one) == 1 or (len(one) == 2 and one[0] in used):
            loose["/".join(one[:-1])].append(one[-1])
        elif splits is None or one[0] in used:
            groups[one[0] if skipped else "train"].append(one)
        else:
            left_out.add(UNUSED, "/".join(one))
    report(left_out, str(root), logger, _prefix(root))
    for folder, files in loose.items():
        raise ValueError(
            f"{root / folder} holds images beside its class folders: {name_some(files)}. The class of an image "
            "is the name of its folder: expected <class>/<image>; move them into a folder of their "
            "class, or away"
        )
    folders = dict.fromkeys(one[skipped:-1] for group in groups.values() for one in group)
    class_of = name_classes(list(folders), class_level, str(root))
    return {
        name: _make_dataset(
            root,
            ["/".join(one) for one in group],
            {label_column: [class_of[one[skipped:-1]] for one in group]},
            image_column,
        )
        for name, group in groups.items()
    }


def _read_rows(
    files: Sequence[Path],
    root: Path,
    images: Sequence[str],
    splits: Sequence[str] | None,
    image_column: str,
    label_column: str,
) -> dict[str, Dataset]:
    """Take the class of each image from metadata files."""
    rows = read_metadata(files, root, images, image_column, label_column)
    listed = set(rows[PATH_COLUMN][:])
    left_out = LeftOut()
    for image in images:
        if splits is not None and image.partition("/")[0] not in splits:
            left_out.add(UNUSED, image)
        elif image not in listed:
            left_out.add(NO_ROW, image)
    report(left_out, str(root), logger, _prefix(root))
    where = name_some([str(file) for file in files])
    if splits is None:
        found = split_rows(rows, label_column, where)
    else:
        groups: dict[str, list[int]] = {name: [] for name in splits}
        for row, path in enumerate(rows[PATH_COLUMN][:]):
            if path.partition("/")[0] in groups:
                groups[path.partition("/")[0]].append(row)
        found = {name: rows.select(chosen) for name, chosen in groups.items()}
    return {name: _from_rows(root, part, image_column, label_column) for name, part in found.items()}


def _from_rows(root: Path, rows: Dataset, image_column: str, label_column: str) -> Dataset:
    """Replace the relative paths of metadata files by images."""
    columns = [name for name in (label_column, "image_id") if name in rows.column_names]
    return _make_dataset(
        root,
        rows[PATH_COLUMN][:],
        {name: rows[name][:] for name in columns},
        image_column,
        {name: rows.features[name] for name in columns},
    )


def _prefix(root: Path) -> str:
    """Return the name of the folder as the beginning of a path, which tells files of several folders apart."""
    return f"{root.name}/" if root.name else ""


def _make_dataset(
    root: Path,
    paths: Sequence[str],
    columns: Mapping[str, Sequence[object]],
    image_column: str,
    features: Mapping[str, object] | None = None,
) -> Dataset:
    """Make a data set of images, with ids if the columns have none."""
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo, Features, Image, Value

    types = Features(
        {image_column: Image(), **{name: Value("string") for name in [*columns, "image_id"]}, **(features or {})}
    )
    values = {"image_id": paths, **columns}
    prefix = f"{root}/"
    files = pa.array([prefix + path for path in paths], pa.string())
    # `Dataset.from_dict` calls a function for each cell: of a large folder, that takes longer than its listing.
    images = pa.StructArray.from_arrays([pa.nulls(len(paths), pa.binary()), files], names=["bytes", "path"])
    schema = types.arrow_schema
    arrays = [
        images if field.name == image_column else pa.array(list(values[field.name]), field.type) for field in schema
    ]
    return Dataset(pa.table(arrays, schema=schema), info=DatasetInfo(features=types))
