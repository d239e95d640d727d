"""In-Shop Clothes Retrieval (DeepFashion; Liu et al., CVPR 2016) from its official folder or archives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..untrusted.archives.extraction import extract_archive
from .official_files import (
    Rows,
    check_disjoint,
    check_files,
    check_official_counts,
    is_relative,
    make_split,
    numbered_fields,
)

if TYPE_CHECKING:
    from os import PathLike

    from datasets import DatasetDict

FOLDER = "In-shop Clothes Retrieval Benchmark"
LIST = "list_eval_partition.txt"
HEADER = ["image_name", "item_id", "evaluation_status"]
SPLITS = ("train", "query", "gallery")
IMAGE_FOLDERS = ("img", "img_highres")
ITEM_ID = re.compile(r"id_([0-9]+)")
# Images and items of the official split: 52,712 images of 7,982 items. The "72,712 images / 7,986 categories" of
# El-Nouby et al. (arXiv 2102.05644, section 4.1) are misprints.
OFFICIAL_COUNTS = {"train": (25_882, 3_997), "query": (14_218, 3_985), "gallery": (12_612, 3_985)}


def load_inshop(data_dir: str | PathLike[str] | None = None, *, check_counts: bool = True) -> DatasetDict:
    """Load In-Shop: 52,712 photographs of 7,982 garments. Queries search a gallery of other photographs.

    Args:
        data_dir: The folder with `list_eval_partition.txt` (or `Eval/` with it) and the images: `img/`, `Img/img/`, or
            the archive `img.zip` instead of either. The archive is extracted once, into the folder that it lies in. If
            there are only the large images, `img_highres/` or `img_highres.zip`, the loader takes these.
        check_counts: Whether to check the numbers of images and items against the official ones.

    Returns:
        A `DatasetDict` with `train` (25,882 images of 3,997 items), `query` (14,218 images of 3,985 items) and
        `gallery` (12,612 images of the same 3,985 items). `label` is the number of the item (int64: 2 for
        "id_00000002"); `image_id` is the official path, such as "img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg".

    Raises:
        FileNotFoundError: The data set is not at `data_dir` (the message says where to get it), or some of its images
            are missing.
        ValueError: A line of the list is malformed, the counts are not the official ones, an item is in `train` and in
            `query` or `gallery`, or the item of a query has no image in the gallery.
    """
    from datasets import DatasetDict

    table = _find_list(data_dir)
    rows = _read_list(table)
    if check_counts:
        check_official_counts(table, rows, OFFICIAL_COUNTS)
    check_disjoint(table, rows, "query", "gallery")
    unfound = {label for label, _ in rows["query"]} - {label for label, _ in rows["gallery"]}
    if unfound and check_counts:
        raise ValueError(f"{table}: {len(unfound)} items of the queries are not in the gallery: use the official list")
    folder, name = _find_images(table)
    stored = {split: [(label, name + path.removeprefix("img")) for label, path in rows[split]] for split in SPLITS}
    check_files(folder, stored)
    # An image has the same id in both sizes, so that results of both have the same names.
    ids = {split: [path for _, path in rows[split]] for split in SPLITS}
    return DatasetDict({split: make_split(folder, stored[split], image_ids=ids[split]) for split in SPLITS})


def _find_list(data_dir: str | PathLike[str] | None) -> Path:
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        for folder in (given, given / "Eval", given / FOLDER, given / FOLDER / "Eval"):
            if (folder / LIST).is_file():
                return folder / LIST
    raise FileNotFoundError(
        f"In-Shop is not at data_dir={None if data_dir is None else str(data_dir)!r}. Ask for it at "
        "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html (a form, then Google Drive),\n"
        f"and pass data_dir=<the folder with Eval/{LIST} and Img/img.zip>.\n"
        "To train without a data set: hf-vitret demo"
    )


def _read_list(path: Path) -> dict[str, Rows]:
    """Read the list: the number of images, a header, then one line for each image, in columns padded with spaces."""
    lines = numbered_fields(path)
    _, count = next(lines, (1, []))
    _, header = next(lines, (2, []))
    if len(count) != 1 or not count[0].isdecimal() or header != HEADER:
        raise ValueError(
            f"{path}: expected the number of images in line 1 and {' '.join(HEADER)!r} in line 2, got "
            f"{' '.join(count)!r} and {' '.join(header)!r}"
        )
    rows: dict[str, Rows] = {split: [] for split in SPLITS}
    for number, fields in lines:
        item = ITEM_ID.fullmatch(fields[1]) if len(fields) == 3 else None
        if item is None or fields[2] not in SPLITS or not is_relative(fields[0]) or not fields[0].startswith("img/"):
            raise ValueError(
                f"{path}, line {number}: expected 'img/... id_<number> train|query|gallery', got {' '.join(fields)!r}"
            )
        rows[fields[2]].append((int(item[1]), fields[0]))
    found = sum(map(len, rows.values()))
    if found != int(count[0]):
        raise ValueError(f"{path}: line 1 gives {int(count[0]):,} images, the list has {found:,}: is the file whole?")
    return rows


def _find_images(table: Path) -> tuple[Path, str]:
    """Return the parent of the folder of images, and the folder's name; extract an archive if there is no folder."""
    root = table.parent.parent if table.parent.name == "Eval" else table.parent
    for name in IMAGE_FOLDERS:
        for folder in (root, root / "Img"):
            if (folder / name).is_dir():
                return folder, name
            if (folder / f"{name}.zip").is_file():
                extract_archive(folder / f"{name}.zip", folder / name, name)
                return folder, name
    raise FileNotFoundError(
        f"{root} has the list and no images: expected img/ or Img/img.zip (or img_highres) beside Eval/"
    )
