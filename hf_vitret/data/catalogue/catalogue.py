"""Load the user's own images, from folders, a table or the Hub, into the schema of the package."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..preparation.prepared_folder import is_prepared
from ..schema import COLUMNS, column_values, describe_split
from ..splits import split_by_class
from .columns import require_columns, to_schema
from .hub_datasets import HUB_SUFFIXES, read_hub, read_saved
from .image_folders.class_levels import check_class_level
from .image_folders.folders import read_folder
from .listed_images import FileRules
from .splits import SplitNames, split_rows
from .streaming import prepare_stream
from .tables import image_column_of, read_table
from .text_tables import TABLE_SUFFIXES

if TYPE_CHECKING:
    from os import PathLike

    from datasets import Dataset, DatasetDict

logger = logging.getLogger(__name__)


def load_catalogue(
    data_dir: str | PathLike[str] | None = None,
    *,
    image_column: str = "image",
    label_column: str = "label",
    image_dir: str | PathLike[str] | None = None,
    image_suffix: str | None = None,
    on_missing_file: str = "error",
    allow_outside: bool = False,
    class_level: int | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    query_split: str | None = None,
    gallery_split: str | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    streaming: bool = False,
    prepared_dir: str | PathLike[str] | None = None,
    short_side: int = 256,
    **options: Any,
) -> DatasetDict:
    """Load the user's own images from a folder, a table or a data set on the Hub.

    Args:
        data_dir: One of: a folder with one folder of images per class, or with metadata files that have the columns
            `file_name` and `label`, optionally under `train/` and `test/` (or `train/`, `query/` and `gallery/`)
            (`read_folder`); a `.csv`, `.tsv`, `.jsonl` or `.parquet` file (`read_table`), which a column `split`
            may divide (`split_rows`); a folder written by `save_to_disk` or `prepare_dataset`; the name of a data set
            on the Hub.
        image_column: Column of the images, in a table or data set.
        label_column: Column of the classes: text, whole numbers (which may have gaps) or `ClassLabel`.
        image_dir: Folder of the images of a table of paths or ids; `None`: the folder of the table. An id without a
            file in it is looked for in the folders of its first characters, `a/b/c/` as in Google Landmarks v2 and
            `abc/` as in H&M. A cell with a list, or with ids divided by white space, is one image for each.
        image_suffix: Ending to add to the names in such a table that do not have it, such as `.jpg`.
        on_missing_file: `"error"`: raise an error if a table names images that are not there. `"skip"`: leave their
            rows out, with a warning in the log that counts them.
        allow_outside: Whether a table may name files outside the folder of its images, by absolute paths, `..` or
            `file://`, and other data sets files and addresses that are not their own (`check_stored_paths`).
        class_level: In a folder of images, the folder of an image's path that is its class: 1 for the first below the
            root or the split, 2 for the second, -1 or `None` for the one that holds the image. With `None`, folders of
            one name in several others are a warning in the log that names the readings; where they look like parts of
            a class, such as views, they are an error. With a number, metadata files are not read.
        train_split: Name of the split to train on, of top folders or of values of the column `split` too; `None`: the
            one that is called train or training.
        test_split: Name of the split to test on; `None`: the one that is called test, testing, val, valid, validation,
            dev or eval, if there is one such split. Names of splits are read in upper or lower case; what is taken by
            another name than "train", "test", "query" or "gallery" is a warning in the log. Without a test split, the
            share `test_fraction` of the *classes* is set aside for testing.
        query_split: Instead of `test_split`, and together with `gallery_split`: the split of the queries; `None`:
            "query", if there is one.
        gallery_split: The split that is searched; `None`: "gallery", "base" or "index", if there is one.
        test_fraction: Share of the classes to set aside where the source has no test split (`choose_test_classes`).
            0 trains on everything: the images of all splits of the source are in `train`, and there is no other split.
        seed: Seed of that choice.
        dataset_name: Instead of `data_dir`: the name of a data set on the Hub, even if a folder has the same name.
        dataset_config: The configuration of a data set on the Hub, if it has several.
        streaming: Whether to read a data set on the Hub as a stream, once, and to keep only small copies of its images
            (`prepare_stream`), for a data set that is too large for the disk. Repeat an interrupted call.
        prepared_dir: With `streaming`: the folder of the copies.
        short_side: With `streaming`: short side of the copies in pixels.
        **options: Passed to `datasets.load_dataset` for a data set on the Hub, for example `revision="..."`.

    Returns:
        A `DatasetDict` with `train` and `test`; or with `train`, `query` and `gallery`; or, with `test_fraction=0`,
        with `train` alone, and a warning in the log. `label` is a `ClassLabel` with the sorted class names, the same in
        all splits. `image_id` is the column `image_id` of the source if there is one, else the path of the file, else
        `<split>/<row>`. A folder that `prepare_dataset` wrote keeps its labels.

    Raises:
        FileNotFoundError: There is nothing at `data_dir`, no folder at `image_dir`, or no such data set on the Hub.
        ValueError: A column is missing; labels are null or fractions; there are fewer than two classes, or no class has
            two images; a named split does not exist; the source has splits that are no known pair, and none is named; a
            folder of images can be read in several ways; images of a table are missing, or files outside their folder;
            or options exclude each other.

    Examples:
        >>> load_catalogue("photos")  # doctest: +SKIP
        >>> load_catalogue(dataset_name="user/x", streaming=True, prepared_dir="x-256")  # doctest: +SKIP
    """
    from datasets import DatasetDict

    if data_dir is not None and dataset_name is not None:
        raise ValueError(f"expected data_dir or dataset_name, not both; got {str(data_dir)!r} and {dataset_name!r}")
    if data_dir is None and dataset_name is None:
        raise ValueError(
            "expected data_dir, a folder of class folders or a table; or dataset_name, a data set on the Hub; got none"
        )
    if not 0 <= test_fraction < 1:
        raise ValueError(f"expected test_fraction in [0, 1), a share of the classes; got {test_fraction}")
    if test_fraction == 0 and (test_split or query_split):
        raise ValueError(
            "expected no test split with test_fraction=0, which trains on everything; got "
            f"{test_split or query_split!r}: leave one of the two out"
        )
    if streaming != (prepared_dir is not None):
        raise ValueError(
            "expected streaming together with prepared_dir, the folder for the copies of the images; got "
            f"streaming={streaming}, prepared_dir={prepared_dir!r}"
        )
    source = dataset_name or str(data_dir)
    names = SplitNames(train_split, test_split, query_split, gallery_split, everything=test_fraction == 0)
    check_class_level(class_level)
    if class_level is not None and dataset_name is not None:
        raise _only_folders(class_level, source)
    columns = {"image": image_column, "label": label_column}
    rules = FileRules.of(image_dir, image_suffix, allow_outside=allow_outside, on_missing_file=on_missing_file)
    own_column = None if allow_outside else image_column
    if not Path(source).expanduser().is_file() or dataset_name is not None:
        rules.require_table(source)
    options |= {"name": dataset_config} if dataset_config else {}
    if streaming:
        named = replace(names, everything=False)  # the copies have the splits of the schema
        settings: Any = {"hub_options": options, "allow_outside": allow_outside, "short_side": short_side}
        folder = prepare_stream(source, str(prepared_dir), named, columns, **settings)
        splits, columns = read_hub(str(folder)), {"image": "image", "label": "label"}
    elif dataset_name is not None:
        splits = names.choose(read_hub(source, own_column, **options), source)
    else:
        splits = names.choose(_read(source, image_column, label_column, options, names, class_level, rules), source)
        if Path(source).expanduser().is_file():
            columns["image"] = image_column_of(image_column)
    for split in splits.values():
        require_columns(split, columns, source)
    if dataset_name is None and is_prepared(source) and _has_schema(splits):
        catalogue = DatasetDict(splits)
    else:
        catalogue = to_schema(splits, columns["image"], columns["label"], source)
    if test_fraction == 0:
        catalogue = DatasetDict(train=_join(catalogue, source))
    _check_classes(catalogue["train"], source)
    if set(catalogue) == {"train"} and test_fraction > 0:
        catalogue = split_by_class(catalogue["train"], test_fraction, seed)
        _check_classes(catalogue["train"], f"{source} (the {1 - test_fraction:.0%} of classes to train on)")
    num_single = describe_split(catalogue["train"])["num_single_image_classes"]
    if num_single:
        logger.warning("%d classes of the train split have one image: they serve as negatives only", num_single)
    return catalogue


def _read(
    source: str,
    image_column: str,
    label_column: str,
    options: dict[str, Any],
    names: SplitNames,
    class_level: int | None,
    rules: FileRules,
) -> dict[str, Dataset]:
    """Read a prepared folder, a table, a saved data set or a folder of images; anything else with `load_dataset`."""
    path = Path(source).expanduser()
    own_column = None if rules.allow_outside else image_column
    is_saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    is_kept = is_prepared(path)
    if path.is_dir() and not is_kept and not is_saved:
        found = read_folder(path, image_column, label_column, names, class_level)
        if all(len(split) for split in found.values()):
            return found
        has_images = any(len(split) for split in found.values())
        if has_images or not any(file for suffix in HUB_SUFFIXES for file in path.rglob(f"*{suffix}")):
            raise FileNotFoundError(
                f"{path}: no images in "
                f"{' or '.join(name for name, split in found.items() if not len(split))}; expected "
                "<class>/<image>, one folder per class, optionally under train/ and test/"
            )
    if class_level is not None:
        raise _only_folders(class_level, source)
    if is_kept:
        return read_hub(str(path), own_column)
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise ValueError(
                f"{path}: expected a folder, or a table ({', '.join(TABLE_SUFFIXES)}); got {path.suffix!r}"
            )
        return split_rows(read_table(path, image_column, label_column, rules)["train"], label_column, str(path))
    if is_saved:
        return read_saved(path, own_column)
    return read_hub(str(path) if path.exists() else source, own_column, **options)


def _only_folders(class_level: int, source: str) -> ValueError:
    """Return the error for a level of classes where no folders name them."""
    return ValueError(
        f"expected class_level (--class_level) with a folder that has folders of images only; got {class_level} with "
        f"{source}, whose classes are a column: leave it out, or name the column with label_column"
    )


def _join(catalogue: DatasetDict, source: str) -> Dataset:
    """Put the images of all splits into one, and log that none is left to measure on."""
    from datasets import concatenate_datasets

    joined = concatenate_datasets(list(catalogue.values())) if len(catalogue) > 1 else catalogue["train"]
    others = [f"{name} ({len(split)} images)" for name, split in catalogue.items() if name != "train"]
    logger.warning(
        "%s: test_fraction is 0, so all %d images are trained on%s and none is left to measure the model on",
        source,
        len(joined),
        f", those of {' and '.join(others)} too," if others else "",
    )
    return joined


def _has_schema(splits: dict[str, Dataset]) -> bool:
    """Return whether splits have the schema already. A split by class also needs labels with names."""
    from datasets import ClassLabel

    label = splits["train"].features["label"]
    is_label = isinstance(label, ClassLabel) or (len(splits) > 1 and label.dtype == "int64")
    return is_label and all(set(split.column_names) == set(COLUMNS) for split in splits.values())


def _check_classes(train: Dataset, source: str) -> None:
    """Check that there are two classes, so that there are negatives, and a class with a positive pair."""
    sizes = Counter(column_values(train, "label"))
    if len(sizes) < 2:
        raise ValueError(
            f"{source}: expected at least 2 classes in the train split, got {len(sizes)}: add images of another class"
        )
    if max(sizes.values()) < 2:
        raise ValueError(
            f"{source}: each of the {len(sizes)} classes has one image (a folder with one image per class?), "
            "so that there is no pair of one class to learn from; add images, or check which column or folder names "
            "the class"
        )
