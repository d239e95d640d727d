"""Read a folder with a folder of images for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..schema import SPLITS, name_some
from .image_files import find_images

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset

SPLIT_WORDS = frozenset({"test", "val", "valid", "validation", "query", "gallery"})


def read_folder(root: Path, image_column: str, label_column: str) -> dict[str, Dataset]:
    """Read a folder of images. The class of an image is the name of the folder that directly contains it.

    In nested folders (`shoes/boots/1.jpg`) only the last one counts, so that two folders with the same name are one
    class; rename one of them, or use a table, if they are different classes. If the top folders are `train` and `test`,
    or `train`, `query` and `gallery`, they are the splits. An empty class folder is logged and left out, so that it
    does not stop a run.

    Args:
        root: The folder.
        image_column: Name of the column for the images.
        label_column: Name of the column for the classes.

    Returns:
        Name of each split to its images, with the columns `image_column`, `label_column` (text) and `image_id` (the
        path relative to `root`).

    Raises:
        ValueError: An image is directly in the top folder or in the folder of a split, where no folder names its class;
            or the top folders have the names of other splits.
    """
    from datasets import Dataset, Features, Image, Value

    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    evaluated = [names for names in SPLITS if len(names) > 1]  # a folder `train` alone may be a class
    splits = next((names for names in evaluated if folders == set(names)), None)
    if splits is None and "train" in folders and folders & SPLIT_WORDS:
        raise ValueError(
            f"{root}: the top folders {', '.join(sorted(folders))} look like splits; expected exactly "
            f"{' or '.join(' + '.join(names) for names in evaluated)} (or class folders alone)"
        )
    roots = {name: root / name for name in splits} if splits else {"train": root}
    found = {}
    for name, folder in roots.items():
        paths = find_images(folder)
        loose = [path.name for path in paths if path.parent == folder]
        if loose:
            raise ValueError(
                f"{folder} holds images beside its class folders: {name_some(loose)}. The class of an image "
                "is the name of its folder: expected <class>/<image>; move them into a folder of their "
                "class, or away"
            )
        found[name] = Dataset.from_dict(
            {
                image_column: [str(path) for path in paths],
                label_column: [path.parent.name for path in paths],
                "image_id": [path.relative_to(root).as_posix() for path in paths],
            },
            features=Features({image_column: Image(), label_column: Value("string"), "image_id": Value("string")}),
        )
    return found
