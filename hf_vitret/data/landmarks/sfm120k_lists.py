"""Read and check the lists of SfM-120k: the images, their 3-D models, and the pairs that match."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.atomic_writes import write_text
from ..benchmarks.official_files import first_file, is_relative
from ..schema import name_some
from ..untrusted.unpickling import load_pickle

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

NAME = "retrieval-SfM-120k"
WHITENING = f"{NAME}-whiten"
CONVERTED, OFFICIAL = ".json", ".pkl"
SPLITS = ("train", "val")
MIN_ID_LENGTH = 6  # the last six characters of an id name the three folders that the image lies in
FOLDERS = ("", NAME, "dbs", f"train/{NAME}", "train/dbs")  # folders in which the official programs keep the lists


@dataclass(frozen=True)
class SfmLists:
    """The images of a split and its matching pairs.

    Attributes:
        image_ids: The official id (cid) of each image.
        models: The number of the 3-D model (`cluster`) of each image; `None` in the lists for whitening.
        anchors: `(num_pairs,)` int64, rows of `image_ids`.
        positives: `(num_pairs,)` int64, for each anchor the row of an image that shows the same landmark. A pair may
            occur twice.
    """

    image_ids: list[str]
    models: list[int] | None
    anchors: NDArray[np.int64]
    positives: NDArray[np.int64]


def image_path(image_id: str) -> str:
    """Return the path of an image below `ims/`, for an id of at least six characters.

    Examples:
        >>> image_path("0123456789abcdef")
        'ef/cd/ab/0123456789abcdef'
    """
    return f"{image_id[-2:]}/{image_id[-4:-2]}/{image_id[-6:-4]}/{image_id}"


def find_lists(
    data_dir: str | PathLike[str] | None, name: str = NAME, suffixes: tuple[str, ...] = (CONVERTED, OFFICIAL)
) -> Path:
    """Find the lists converted to JSON, or else the official pickle.

    Args:
        data_dir: The folder that has the file, or one of `FOLDERS` with it; `None` finds nothing.
        name: Name of the file without its suffix.
        suffixes: The suffixes to look for, in the order of preference.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: There is no such file; the message says where to get it.
    """
    found = first_file(data_dir, FOLDERS, [f"{name}{suffix}" for suffix in suffixes])
    if found is not None:
        return found
    source = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/train"
    raise FileNotFoundError(
        f"{name}.pkl is not at data_dir={None if data_dir is None else str(data_dir)!r}. Get it from {source}/dbs/\n"
        f"and the images from {source}/ims/ims.tar.gz, and pass data_dir=<the folder with both>: expected {name}.pkl "
        "and ims/ or ims.tar.gz"
    )


def read_lists(path: Path) -> dict[str, SfmLists]:
    """Read and check the lists of SfM-120k: the official pickle or the JSON file converted from it.

    The rules are: the ids of a split are different and have at least six characters; each image has one model; there
    are as many anchors as positives, and both are rows of the split; the two images of a pair are different and of the
    same model; no image is in both splits.

    Args:
        path: The file.

    Returns:
        `train` and `val`, or for the lists of whitening one entry, `images`.

    Raises:
        ValueError: The file is damaged, hostile or breaks a rule.
    """
    content = _read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dict, got {type(content).__name__}; use the official file")
    if "cids" in content:
        return {"images": _checked(content, f"{path}", has_models=False)}
    if not set(SPLITS) <= set(content):
        raise ValueError(f"{path}: expected train and val, got {', '.join(map(str, content))}; use the official file")
    lists = {split: _checked(content[split], f"{path}, {split}", has_models=True) for split in SPLITS}
    shared = set(lists["train"].image_ids) & set(lists["val"].image_ids)
    if shared:
        raise ValueError(
            f"{path}: expected each image in train or in val; these are in both: {name_some(sorted(shared))}"
        )
    return lists


def write_lists(path: Path, lists: dict[str, SfmLists]) -> None:
    """Write lists as JSON with the official keys, which `read_lists` reads; an existing file is replaced."""
    content = {split: _as_official(part) for split, part in lists.items()}
    write_text(path, json.dumps(content.get("images", content)) + "\n")


def _as_official(lists: SfmLists) -> dict[str, Any]:
    models = {} if lists.models is None else {"cluster": lists.models}
    pairs = {"qidxs": lists.anchors.tolist(), "pidxs": lists.positives.tolist()}
    return {"cids": lists.image_ids, **models, **pairs}


def _read(path: Path) -> Any:
    if path.suffix != CONVERTED:
        return load_pickle(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON, or is cut off ({error}): convert the official file again") from error


def _checked(content: Any, where: str, *, has_models: bool) -> SfmLists:
    keys = ["cids", *(["cluster"] if has_models else []), "qidxs", "pidxs"]
    if not isinstance(content, dict) or not set(keys) <= set(content):
        got = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{where}: expected a dict with {', '.join(keys)}, got {got}; use the official file")
    ids = list(content["cids"])
    wrong = [value for value in ids if not _is_id(value)]
    if wrong or not ids:
        raise ValueError(
            f"{where}: expected cids of {MIN_ID_LENGTH} characters or more that make a path below ims/, got "
            f"{name_some(list(map(repr, wrong))) or 'none'}"
        )
    if len(set(ids)) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise ValueError(f"{where}: expected different cids; these repeat: {name_some(values[counts > 1].tolist())}")
    models = _integers(content["cluster"], f"{where}: cluster", len(ids)) if has_models else None
    anchors = _integers(content["qidxs"], f"{where}: qidxs")
    positives = _integers(content["pidxs"], f"{where}: pidxs", len(anchors))
    for key, rows in (("qidxs", anchors), ("pidxs", positives)):
        outside = rows[(rows < 0) | (rows >= len(ids))]
        if outside.size:
            raise ValueError(
                f"{where}: expected {key} to be rows of {len(ids):,} images, 0 to {len(ids) - 1}; got "
                f"{name_some(outside.tolist())}"
            )
    is_wrong = anchors == positives
    if models is not None:
        is_wrong |= models[anchors] != models[positives]
    if is_wrong.any():
        raise ValueError(
            f"{where}: expected pairs of two images of one 3-D model; these are one image, or of two models: "
            f"{name_some(list(zip(anchors[is_wrong].tolist(), positives[is_wrong].tolist())))}"
        )
    return SfmLists(ids, None if models is None else models.tolist(), anchors, positives)


def _is_id(value: Any) -> bool:
    if not isinstance(value, str) or len(value) < MIN_ID_LENGTH:
        return False
    return is_relative(image_path(value)) and not set(value) & set("/\\\0")


def _integers(values: Any, what: str, length: int | None = None) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise ValueError(f"{what}: expected whole numbers, at least one; got {array.dtype} of shape {array.shape}")
    if length is not None and len(array) != length:
        raise ValueError(f"{what}: expected {length:,}, got {len(array):,}; is the file whole?")
    return array.astype(np.int64)
