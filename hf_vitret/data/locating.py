"""Find out what a data set's name stands for: a public benchmark, the user's files, or a data set on the Hub."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue.text_tables import TABLE_SUFFIXES

if TYPE_CHECKING:
    from os import PathLike

# The loader of the user's own images, from this machine or the Hub.
OWN = "catalogue"
# Names that `load_retrieval_dataset` knows, and what --data_dir has to name for each; None for the data set that is
# drawn from an installed package.
NAMED = {
    "cars": "the folder with cars_annos.mat and car_ims.tgz",
    "cub": "CUB_200_2011.tgz, or the folder that it extracts to",
    "gldv2": "the folder with train_clean.csv and train/",
    "icons": None,
    "inat2018": "the folder with Inat_dataset_splits/ and train_val2018.tar.gz",
    "inat2021": "the folder with train.json, val.json, train/ and val/, or their archives",
    "inshop": "the folder with Eval/list_eval_partition.txt and Img/img.zip",
    "met": "the folder with ground_truth/ and images/",
    "products10k": "the folder with train.csv, test_kaggletest.csv, train.zip and test.zip",
    "sop": "Stanford_Online_Products.zip, or the folder that it extracts to",
}
# SfM-120k has pairs of matching images and no label of an image, so that `load_retrieval_dataset` does not load it.
PAIRS = "sfm120k"
PAIRS_FOLDER = "the folder with retrieval-SfM-120k.pkl and ims/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class DatasetLocation:
    """The loader of a data set, and where the data are.

    Attributes:
        name: Name of the loader: a key of `hf_vitret.data.loading.DATASETS`, or `"sfm120k"`.
        data_dir: Folder, archive or table on this machine; `None` for a data set that needs none or is on the Hub.
        hub_id: Id on the Hub, `user/name`; `None` for a data set on this machine.
    """

    name: str
    data_dir: str | None = None
    hub_id: str | None = None

    @property
    def title(self) -> str:
        """A name for reports: that of the benchmark, the id on the Hub, or the last part of the path."""
        if self.name != OWN:
            return self.name
        return self.hub_id or Path(str(self.data_dir)).resolve().name


def locate_dataset(data: str | PathLike[str], data_dir: str | PathLike[str] | None = None) -> DatasetLocation:
    """Find out what a name stands for, without reading the data.

    A known name comes first, then a path that exists, then an id on the Hub. Write `./sop` for a folder that has a
    known name.

    Args:
        data: One of: a known name (a key of `NAMED`, such as `"sop"`, or `"sfm120k"`); the path of a folder or of a
            CSV, TSV, JSON Lines or Parquet file on this machine; an id on the Hub, `user/name`.
        data_dir: Where the data set of a known name is on this machine.

    Returns:
        The name of the loader, and the path or the id.

    Raises:
        FileNotFoundError: `data` is none of these. The message lists what was looked for, and the nearest known name.
        ValueError: `data_dir` is missing for a known name that needs it, or is given for data that do not use it.
    """
    text = str(data)
    if text in NAMED or text == PAIRS:
        needed = NAMED.get(text, PAIRS_FOLDER)
        if needed is None and data_dir is not None:
            raise ValueError(f"expected no --data_dir with {text}, which an installed package draws: leave it out")
        if needed is not None and data_dir is None:
            raise ValueError(f"expected --data_dir with {text}: {needed}")
        return DatasetLocation(text, None if data_dir is None else str(data_dir))
    if data_dir is not None:
        raise ValueError(
            f"expected --data_dir with the name of a data set only ({', '.join(_names())}); got it with {text!r}: "
            "leave --data_dir out, or give the name instead of the path"
        )
    if text and Path(text).expanduser().exists():
        return DatasetLocation(OWN, data_dir=str(Path(text).expanduser()))
    if _HUB_ID.fullmatch(text) and not text.lower().endswith(TABLE_SUFFIXES):
        return DatasetLocation(OWN, hub_id=text)
    near = difflib.get_close_matches(text, _names(), 1)
    raise FileNotFoundError(
        f"expected images in {text!r}, and found none: {Path.cwd()} has no file or folder of this path, it is no data "
        f"set by name ({', '.join(_names())}), and no id on the Hub, which is written user/name"
        + (f". Did you mean {near[0]}?" if near else "")
    )


def _names() -> list[str]:
    return sorted([*NAMED, PAIRS])
