"""The Met: photographs of museum exhibits to train on, and photographs of visitors with distractors to test on.

What is certain about the format, from the official program: the names of the files, each a JSON list of objects; `id`
and `path` of an exhibit's image; `path` of a query, with `MET_id` if it shows an exhibit and without if it is a
distractor; paths are relative to the folder of the images, `images/` beside `ground_truth/`.
What is not certain: other keys of an object (they are not read); whether ids are always numbers (text of digits is
accepted, as in the program); the numbers of images, which are those that users of the official files report.

References:
    Ypsilantis et al., "The Met Dataset: Instance-level Recognition for Artworks", arXiv 2202.01747, and its program,
    https://github.com/nikosips/met.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..benchmarks.official_files import (
    Rows,
    check_official_counts,
    first_file,
    is_relative,
    make_split,
    split_rows_by_class,
)
from ..benchmarks.official_files import check_files as check_all_files
from ..schema import name_some

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

DATABASE, MINI_DATABASE = "MET_database.json", "mini_MET_database.json"
QUERIES = {"val": "valset.json", "test": "testset.json"}
LIST_FOLDERS = ("ground_truth", "")
IMAGE_FOLDERS = ("images", "")
# Images and exhibits of each database; queries with an exhibit and distractors of each set of queries.
OFFICIAL_COUNTS = {DATABASE: (397_121, 224_408), MINI_DATABASE: (38_307, 33_501)}
OFFICIAL_QUERIES = {"val": (129, 2_036), "test": (1_003, 18_316)}


def load_met(
    data_dir: str | PathLike[str] | None = None,
    *,
    mini: bool = False,
    test_fraction: float = 0.01,
    split_seed: int = 0,
    check_counts: bool = True,
    check_files: bool = True,
) -> DatasetDict:
    """Load the photographs of the exhibits of The Met, with the exhibit of each as its class.

    They are the training set and the set that queries are searched in. The official queries (`load_met_queries`) are
    scored by `met_metrics`, with all these photographs as the gallery. So that a run can be measured without them, a
    few exhibits are set aside. Most exhibits have one photograph, which forms no positive pair.

    Args:
        data_dir: The folder with `ground_truth/` and `images/`, or with what they hold: `MET_database.json` and `MET/`.
        mini: Whether to read `mini_MET_database.json`, a tenth of the photographs.
        test_fraction: Share of the exhibits to set aside as `test`, in [0, 1), by the rule of `choose_test_classes`. 0
            trains on all exhibits.
        split_seed: Seed of the choice of these exhibits.
        check_counts: Whether to check the numbers of images and exhibits against the official ones: 397,121 of 224,408,
            or 38,307 of 33,501 (mini).
        check_files: Whether to check that every image is there. This takes a while, because each exhibit has a folder.

    Returns:
        A `DatasetDict` with `train` and `test`, which share no exhibit, or with `train` alone. `label` is the official
        id of the exhibit (int64), `image_id` the official path; the rows are in the order of the file.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: The file is no JSON list of images, an entry is malformed, a path is there twice, the counts are not
            the official ones, or `test_fraction` is outside [0, 1) or leaves too few exhibits.
    """
    from datasets import DatasetDict

    path = _find_list(data_dir, MINI_DATABASE if mini else DATABASE)
    rows = [(_number(path, row, entry, "id"), file) for row, (entry, file) in enumerate(_read(path))]
    if check_counts:
        check_official_counts(path, {"train": rows}, {"train": OFFICIAL_COUNTS[path.name]})
    splits = split_rows_by_class({"train": rows}, test_fraction, split_seed)
    folder = _find_images(data_dir, rows, path)
    if check_files:
        check_all_files(folder, {"train": rows})
    return DatasetDict({split: make_split(folder, part) for split, part in splits.items()})


def load_met_queries(
    data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True, check_files: bool = True
) -> DatasetDict:
    """Load the queries of The Met: photographs of its exhibits by visitors, and distractors, which show none of them.

    Args:
        data_dir: The folder with `ground_truth/` and `images/`, or with what they hold: `valset.json`, `testset.json`,
            `test_met/`, `test_other/` and `test_noart/`.
        check_counts: Whether to check the numbers of queries against the official ones: 129 and 2,036 distractors in
            `val`, 1,003 and 18,316 in `test`.
        check_files: Whether to check that every image is there.

    Returns:
        A `DatasetDict` with `val`, to choose settings on, and `test`, and the columns `image`, `label` and `image_id`.
        `label` is the official id of the exhibit (int64), or null for a distractor; `image_id` is the official path.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A file is no JSON list of images, an entry is malformed, a path is there twice, or the counts are
            not the official ones.
    """
    from datasets import DatasetDict

    labels: dict[str, list[int | None]] = {}
    rows: dict[str, Rows] = {}
    for split, name in QUERIES.items():
        path = _find_list(data_dir, name)
        entries = _read(path)
        labels[split] = [
            _number(path, row, entry, "MET_id") if "MET_id" in entry else None for row, (entry, _) in enumerate(entries)
        ]
        rows[split] = [(0, file) for _, file in entries]
        num_distractors = labels[split].count(None)
        found = (len(entries) - num_distractors, num_distractors)
        if check_counts and found != OFFICIAL_QUERIES[split]:
            queries, distractors = OFFICIAL_QUERIES[split]
            raise ValueError(
                f"{path}: expected {queries:,} queries with MET_id and {distractors:,} distractors, found "
                f"{found[0]:,} and {found[1]:,}. Get the official file again, or pass check_counts=False (results are "
                "then not comparable)"
            )
    both = {file for _, file in rows["val"]} & {file for _, file in rows["test"]}
    if both:
        raise ValueError(f"{path}: expected each query in val or in test; these are in both: {name_some(sorted(both))}")
    folder = _find_images(data_dir, rows["test"], path)
    if check_files:
        check_all_files(folder, rows)
    splits = {}
    for split, part in rows.items():
        made = make_split(folder, part)
        feature = made.features["label"]
        splits[split] = made.remove_columns("label").add_column("label", labels[split], feature=feature)
    return DatasetDict(splits).select_columns(["image", "label", "image_id"])


def _find_list(data_dir: str | PathLike[str] | None, name: str) -> Path:
    found = first_file(data_dir, LIST_FOLDERS, [name])
    if found is not None:
        return found
    raise FileNotFoundError(
        f"{name} is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get the ground truth and the "
        "images from http://cmp.felk.cvut.cz/met/,\n"
        f"and pass data_dir=<the folder with both>: expected ground_truth/{name}, and images/ with MET/, test_met/, "
        "test_other/ and test_noart/"
    )


def _find_images(data_dir: str | PathLike[str] | None, rows: Rows, beside: Path) -> Path:
    """Return the folder that the paths are relative to: the one that has the top folder of the first path."""
    root, top = Path(data_dir or "").expanduser(), rows[0][1].split("/")[0]
    for folder in IMAGE_FOLDERS:
        if (root / folder / top).exists():
            return root / folder
    raise FileNotFoundError(
        f"{beside} is there and its images are not: expected {root / IMAGE_FOLDERS[0] / top}. Extract "
        f"{top}.tar.gz there"
    )


def _read(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Read a list of images: the object and the path of each, all paths different and relative."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON, or is cut off ({error}): get the official file again") from error
    if not isinstance(content, list) or not content:
        got = "an empty list" if content == [] else type(content).__name__
        raise ValueError(f"{path}: expected a list of images, each an object with a path; got {got}")
    entries = []
    for row, entry in enumerate(content):
        file = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(file, str) or not is_relative(file) or set(file) & set("\\\0"):
            raise ValueError(
                f"{path}, entry {row}: expected an object with the path of an image below images/, got "
                f"{str(entry)[:80]}. Use the official file"
            )
        entries.append((entry, file))
    seen: set[str] = set()
    repeated = []
    for _, file in entries:
        if file in seen:
            repeated.append(file)
        seen.add(file)
    if repeated:
        raise ValueError(f"{path}: expected each image once; these are there again: {name_some(repeated)}")
    return entries


def _number(path: Path, row: int, entry: dict[str, Any], key: str) -> int:
    """Return the id of an exhibit, a whole number or its digits."""
    value = entry.get(key)
    text = "" if isinstance(value, bool) else str(value)
    if not isinstance(value, (int, str)) or not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(
            f"{path}, entry {row}: expected {key} to be the whole number of an exhibit, got {value!r}. Use the "
            "official file"
        )
    return int(text)
