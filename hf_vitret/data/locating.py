"""What a name stands for: a data set of the field, the user's own files, or a data set on the Hub."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

# The loader of the user's own images, from this machine or the Hub.
OWN = "catalogue"
# Data sets of `load_retrieval_dataset` by name, and where each is looked for: what --data_dir has to name.
NAMED = {
    "cub": "CUB_200_2011.tgz, or the folder that it extracts to",
    "icons": None,  # drawn from an installed package
    "inat2018": "the folder with Inat_dataset_splits/ and train_val2018.tar.gz",
    "inshop": "the folder with Eval/list_eval_partition.txt and Img/img.zip",
    "sop": "Stanford_Online_Products.zip, or the folder that it extracts to",
}
# A recipe has data of its own kind for it: pairs of images, and no label of an image.
PAIRS = "sfm120k"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TABLES = (".csv", ".tsv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class DatasetLocation:
    """Where a data set is.

    Attributes:
        name: Of its loader: a key of `hf_vitret.data.loading.DATASETS`, or `"sfm120k"`.
        data_dir: Its folder, archive or table on this machine; `None` where it needs none, or is on the Hub.
        hub_id: Its id on the Hub, `user/name`; `None` where it is not there.
    """

    name: str
    data_dir: str | None = None
    hub_id: str | None = None

    @property
    def title(self) -> str:
        """What a person calls it: the field's name, the id on the Hub, or the last part of the path."""
        if self.name != OWN:
            return self.name
        return self.hub_id or Path(str(self.data_dir)).resolve().name


def locate_dataset(data: str | PathLike[str], data_dir: str | PathLike[str] | None = None) -> DatasetLocation:
    """Find out what a name stands for, without reading anything of it.

    Args:
        data: One of: the name of a data set of the field (`"sop"`, `"inshop"`, `"cub"`, `"inat2018"`, `"icons"`,
            `"sfm120k"`); a path on this machine, of a folder or a CSV, TSV, Parquet or JSONL file; an id on the Hub,
            `user/name`. A path that exists is taken before an id. `./sop` is a folder, whatever the names are.
        data_dir: Where a data set of the field is on this machine.

    Returns:
        The loader's name, and the path or the id.

    Raises:
        FileNotFoundError: It is none of these; the message says what was looked for, and names the nearest.
        ValueError: `data_dir` is missing where a data set of the field needs it, or is given where nothing reads it.
    """
    text = str(data)
    if text in NAMED or text == PAIRS:
        place = NAMED.get(text, "the folder with retrieval-SfM-120k.pkl and ims/")
        if place is None and data_dir is not None:
            raise ValueError(
                f"expected no --data_dir for {text}, which is drawn from an installed package; leave it out"
            )
        if place is not None and data_dir is None:
            raise ValueError(f"expected --data_dir with {text}: {place}")
        return DatasetLocation(text, None if data_dir is None else str(data_dir))
    if data_dir is not None:
        raise ValueError(
            f"expected --data_dir with the name of a data set only ({', '.join(_names())}); got it with {text!r}: leave "
            "--data_dir out, or give the name in the place of the path"
        )
    if Path(text).expanduser().exists():
        return DatasetLocation(OWN, data_dir=str(Path(text).expanduser()))
    if _HUB_ID.fullmatch(text) and not text.lower().endswith(_TABLES):
        return DatasetLocation(OWN, hub_id=text)
    near = difflib.get_close_matches(text, _names(), 1)
    raise FileNotFoundError(
        f"expected images in {text!r}, and found none: there is no file or folder of this path in {Path.cwd()}, it is no "
        f"data set by name ({', '.join(_names())}), and no id on the Hub, which is written user/name"
        + (f". Did you mean {near[0]}?" if near else "")
    )


def _names() -> list[str]:
    return sorted([*NAMED, PAIRS])
