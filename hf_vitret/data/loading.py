"""Load any data set of the package by name, in one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .benchmarks.cars import load_cars
from .benchmarks.cub import load_cub
from .benchmarks.inat2018 import load_inat2018
from .benchmarks.inat2021 import load_inat2021
from .benchmarks.inshop import load_inshop
from .benchmarks.products10k import load_products10k
from .benchmarks.sop import load_sop
from .catalogue.catalogue import load_catalogue
from .demo.icons import load_icons
from .landmarks.gldv2 import load_gldv2
from .landmarks.met import load_met
from .schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from datasets import DatasetDict

DATASETS: dict[str, Callable[..., DatasetDict]] = {
    "cars": load_cars,
    "catalogue": load_catalogue,
    "cub": load_cub,
    "gldv2": load_gldv2,
    "icons": load_icons,
    "inat2018": load_inat2018,
    "inat2021": load_inat2021,
    "inshop": load_inshop,
    "met": load_met,
    "products10k": load_products10k,
    "sop": load_sop,
}


def load_retrieval_dataset(name: str, data_dir: str | PathLike[str] | None = None, **options: Any) -> DatasetDict:
    """Load a data set for image retrieval by name, without decoding an image.

    Args:
        name: A key of `DATASETS`: `"sop"` (Stanford Online Products), `"inshop"` (In-Shop Clothes), `"cub"`
            (CUB-200-2011), `"cars"` (Cars-196), `"inat2018"` and `"inat2021"` (iNaturalist),
            `"products10k"` (Products-10K), `"catalogue"` (your own images) or `"icons"` (the embedded set, which needs
            no download).
            Also `"gldv2"` (Google Landmarks v2) and `"met"` (The Met), to train on.
        data_dir: The folder, archive or table of the data; for `"catalogue"` also a data set on the Hub. `"icons"`
            needs none.
        **options: Options of the loader; see `load_sop`, `load_catalogue` and the other loaders.

    Returns:
        A `DatasetDict` with the splits `train` and `test` (or `train`, `query` and `gallery`; or `train` alone, with
        `test_fraction=0`) and the columns `image` (`datasets.Image`), `label` (`ClassLabel` or int64) and `image_id`
        (string, unique over all splits).

    Raises:
        ValueError: The name is not known; an option is outside its domain; or the data breaks a rule of the loader or
            of the schema (`check_schema`).
        FileNotFoundError: There are no such data at `data_dir`; the message says how to get them.

    Examples:
        >>> dataset = load_retrieval_dataset("catalogue", data_dir="photos")  # doctest: +SKIP
        >>> dataset["train"].column_names  # doctest: +SKIP
        ['image', 'label', 'image_id']
    """
    if name not in DATASETS:
        raise ValueError(
            f"unknown data set {name!r}: the known ones are {', '.join(sorted(DATASETS))}. For images of "
            "your own use "
            'load_retrieval_dataset("catalogue", data_dir="path/to/images")'
        )
    return check_schema(DATASETS[name](data_dir, **options), name)
