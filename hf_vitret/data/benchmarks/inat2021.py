"""iNaturalist 2021 (Van Horn et al., CVPR 2021, arXiv 2103.16483) from its official lists: by image, or by species."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..untrusted.archives.extraction import extract_archive
from ..untrusted.archives.members import Limits
from ..untrusted.archives.tar_members import named_damage, tar_members
from .official_files import Rows, check_files, check_official_counts, is_relative, make_split, split_rows_by_class

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

TRAIN_LISTS = ("train", "train_mini")
TEST_LIST = "val"
NUM_CLASSES = 10_000
OFFICIAL_COUNTS = {
    "train": (2_686_843, NUM_CLASSES),
    "train_mini": (500_000, NUM_CLASSES),
    "val": (100_000, NUM_CLASSES),
}
# Limits of an archive of images; the largest, train.tar.gz, has 2,686,843 images in 224 GB.
MAX_IMAGES, MAX_IMAGE_BYTES = 3_000_000, 300 * 2**30
MAX_LIST_BYTES = 4 * 2**30  # limit of the lists in an archive; train.json has about 1 GB
# All that is kept of a list while it is read: the others are most of it (rights, places, dates, taxonomy).
_KEYS = {"images", "annotations", "categories", "id", "file_name", "image_id", "category_id", "name"}


def load_inat2021(
    data_dir: str | PathLike[str] | None = None,
    *,
    train_split: str = "train",
    test_fraction: float | None = None,
    seed: int = 0,
    check_counts: bool = True,
) -> DatasetDict:
    """Load iNaturalist 2021: photographs of 10,000 species, split by image as officially, or by species.

    The official split is for classification: train and val show the same species. Here each image of val searches the
    others of val, so the scores are for species that were trained on. No list of a paper that splits these species for
    retrieval is known for certain (`"inat2018"` has one). With `test_fraction` the split is by species, by a rule of
    this package and of no paper: say the share and the seed beside the score.

    Certain are the names of the files, their JSON format (that of COCO: `images`, `annotations`, `categories`), paths
    such as "train_mini/<folder of the species>/<id>.jpg", and the counts. The test images of the competition have no
    published labels.

    Args:
        data_dir: The folder with `train.json` (or `train_mini.json`), `val.json`, and the images: `train/` (or
            `train_mini/`) and `val/`. In place of each the folder may hold the official archive, such as
            `val.json.tar.gz` and `val.tar.gz`. Archives of images are extracted once, into the same folder. Reading
            `train.json` takes about 4 GB of memory.
        train_split: The list to train on: `"train"` (2,686,843 images) or `"train_mini"` (500,000 of them, 50 of each
            species).
        test_fraction: `None`: the official split. Otherwise the share of the species, in [0, 1), whose images of both
            lists are the test split; all others are the training split. 0 trains on all images.
        seed: Seed of the choice of these species.
        check_counts: Whether to check the numbers of images and species against the official ones.

    Returns:
        A `DatasetDict` with `train` and `test` (with `test_fraction=0` with `train` alone). `label` is a `ClassLabel`
        with a name such as "02912 Corvus corax" for each species, by its official id; `image_id` is the official path.

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A list is no JSON in this format, the lists name other species, the counts are not the official
            ones, or an option is outside its domain.
    """
    from datasets import ClassLabel, DatasetDict

    if train_split not in TRAIN_LISTS:
        raise ValueError(f"expected train_split to be one of {', '.join(TRAIN_LISTS)}; got {train_split!r}")
    folder = _find_folder(data_dir, train_split)
    names, rows = _read_lists(folder, train_split, check_counts)
    for split in (train_split, TEST_LIST):
        archive = folder / f"{split}.tar.gz"
        if not (folder / split).is_dir():
            if not archive.is_file():
                raise FileNotFoundError(
                    f"{folder} has the lists and no images: expected {split}/ or {archive.name} there"
                )
            extract_archive(archive, folder / split, split, max_bytes=MAX_IMAGE_BYTES, max_members=MAX_IMAGES)
    check_files(folder, rows)
    if test_fraction is not None:
        rows = split_rows_by_class(rows, test_fraction, seed)
    label = ClassLabel(names=names)
    return DatasetDict({split: make_split(folder, split_rows, label) for split, split_rows in rows.items()})


def _find_folder(data_dir: str | PathLike[str] | None, train_split: str) -> Path:
    """Return the folder that holds both lists, as JSON files or archives of them."""
    hint = ""
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        there = [name for name in (*TRAIN_LISTS, TEST_LIST) if _list_file(folder, name) is not None]
        if {train_split, TEST_LIST} <= set(there):
            return folder
        others = [name for name in there if name != TEST_LIST]
        if others:
            hint = (
                f" It has {others[0]}.json: to train on it, pass train_split={others[0]!r} (--train_split {others[0]})."
            )
    raise FileNotFoundError(
        f"iNaturalist 2021 is not at data_dir={None if data_dir is None else str(data_dir)!r}.{hint} Get it from "
        "https://github.com/visipedia/inat_comp/tree/master/2021,\n"
        f"and pass data_dir=<the folder that holds {train_split}.json, {TEST_LIST}.json, {train_split}/ and "
        f"{TEST_LIST}/, or their archives .json.tar.gz and .tar.gz>.\n"
        "To train without a data set: hf-vitret demo"
    )


def _list_file(folder: Path, name: str) -> Path | None:
    """Return the file of a list, or the archive that holds it."""
    return next((path for end in ("", ".tar.gz") if (path := folder / f"{name}.json{end}").is_file()), None)


def _read_lists(folder: Path, train_split: str, check_counts: bool) -> tuple[list[str], dict[str, Rows]]:
    """Read the list to train on and the one to test on, which have the same species."""
    found = {}
    for name in (train_split, TEST_LIST):
        path = _list_file(folder, name) or folder / f"{name}.json"
        species, rows = _parse(path, name, _load(path, name))
        if check_counts:
            check_official_counts(path, {name: rows}, {name: OFFICIAL_COUNTS[name]})
        found[name] = (species, rows)
    names, rows = found[train_split]
    if names != found[TEST_LIST][0]:
        raise ValueError(f"{folder}: expected the same species in {train_split}.json and {TEST_LIST}.json; they differ")
    return names, {"train": rows, "test": found[TEST_LIST][1]}


def _load(path: Path, name: str) -> Any:
    """Load a JSON file, also from an archive, with the keys `_KEYS` of each object only."""
    if path.suffix == ".json":
        with path.open("rb") as stream:
            return _load_json(path, stream)
    with named_damage(path):
        for member in tar_members(path, Limits(max_members=10, max_bytes=MAX_LIST_BYTES)):
            if member.path.name == f"{name}.json":
                return _load_json(path, member.content)
    raise ValueError(f"{path}: expected {name}.json in it, and found no such file: get the official archive again")


def _load_json(path: Path, stream: IO[bytes]) -> Any:
    try:
        return json.load(stream, object_pairs_hook=lambda pairs: {key: value for key, value in pairs if key in _KEYS})
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON in UTF-8 ({error}); was the download cut off? Get it again") from error


def _parse(path: Path, split: str, content: Any) -> tuple[list[str], Rows]:
    """Return the names of the species, by id, and the images with their labels, in the order of the list."""
    categories, images, annotations = (_objects(path, content, key) for key in ("categories", "images", "annotations"))
    species: dict[int, Any] = {one["id"]: one.get("name") for one in categories if type(one.get("id")) is int}
    are_named = all(isinstance(name, str) and name for name in species.values())
    if sorted(species) != list(range(len(categories))) or not are_named:
        raise ValueError(f"{path}: expected categories with the ids 0 to {len(categories) - 1}, each with a name")
    labels: dict[Any, int] = {}
    for number, one in enumerate(annotations):
        image, label = one.get("image_id"), one.get("category_id")
        if not isinstance(image, int) or not isinstance(label, int) or label not in species or image in labels:
            raise ValueError(
                f"{path}, annotation {number}: expected an image_id that no other has, and the id of a category; got "
                f"{image!r} and {label!r}"
            )
        labels[image] = label
    rows = []
    for number, one in enumerate(images):
        name, image = one.get("file_name"), one.get("id")
        label = labels.get(image) if isinstance(image, int) else None
        if not isinstance(name, str) or not is_relative(name) or not name.startswith(f"{split}/") or label is None:
            raise ValueError(
                f"{path}, image {number}: expected a file_name below {split}/ and an id with an annotation; got "
                f"{name!r} and {image!r}"
            )
        rows.append((label, name))
    return [f"{number:05d} {species[number]}" for number in range(len(categories))], rows


def _objects(path: Path, content: Any, key: str) -> list[dict[str, Any]]:
    """Return the list of objects at a key."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{path}: expected a list of objects at the key {key}")
    return found
