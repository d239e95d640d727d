"""The card (`README.md`) of a prepared data set; every number in it comes from the data set's manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.preparation.parquet_shards import DATA_FOLDER
from ..data.preparation.prepared_folder import read_manifest
from ..data.preparation.reencoding import LOSSLESS
from .model_card import CARD_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from datasets import Features

TEMPLATE = Path(__file__).with_name("dataset_card_template.md")
LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")  # identifiers of the Hub, such as "cc-by-4.0", "other" and "unknown"
# The size categories of the Hub: the smallest number of images in a category -> the name of the category.
SIZES = {
    10_000_000: "10M<n<100M",
    1_000_000: "1M<n<10M",
    100_000: "100K<n<1M",
    10_000: "10K<n<100K",
    1_000: "1K<n<10K",
    0: "n<1K",
}


def write_dataset_card(
    folder: str | PathLike[str], *, title: str, license: str = "", repo_id: str | None = None
) -> Path:
    """Write the card `README.md` into a folder that `prepare_dataset` has written.

    The YAML header of the card lists the splits, features and counts for `datasets` and for the Hub's viewer.
    `load_dataset` compares the data with these counts.

    Args:
        folder: The prepared folder.
        title: The name of the data set for readers.
        license: The licence of the images as the source states it, either an identifier of the Hub ("cc-by-4.0") or a
            text. Default: the card says that no licence is stated.
        repo_id: Owner and name of the repository on the Hub from which the code in the card loads the data set.
            Default: the code loads it from its folder.

    Returns:
        The path of the card.

    Raises:
        FileNotFoundError: The folder is not a prepared data set.
    """
    from huggingface_hub import DatasetCard

    manifest = read_manifest(folder)
    files = manifest["files"]
    features = _read_features(Path(folder) / next(iter(files)))
    card = DatasetCard.from_template(
        _card_data(manifest, features, title, license),
        template_path=str(TEMPLATE),
        title=title,
        load_name=repo_id or Path(folder).resolve().name,
        license=license.rstrip("."),
        settings=manifest["settings"],
        splits=manifest["splits"],
        num_images=sum(split["num_images"] for split in manifest["splits"].values()),
        num_bytes=sum(file["num_bytes"] for file in files.values()),
        num_files=len(files),
        has_names=hasattr(features["label"], "names"),
        is_lossless=manifest["settings"]["image_format"] in LOSSLESS,
    )
    path = Path(folder) / CARD_NAME
    path.write_text(str(card), encoding="utf-8")
    return path


def _card_data(manifest: Mapping[str, Any], features: Features, title: str, license: str) -> Any:
    """Make the YAML header, which the Hub's search and `load_dataset` read."""
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    splits = manifest["splits"]
    num_images = sum(split["num_images"] for split in splits.values())
    data = DatasetCardData(
        pretty_name=title,
        license=(license if LICENSE_ID.fullmatch(license) else "other") if license else None,
        task_categories=["image-feature-extraction"],
        size_categories=[next(name for least, name in SIZES.items() if num_images >= least)],
        tags=["hf_vitret", "image-retrieval", "metric-learning", "visual-search"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"{DATA_FOLDER}/{name}-*"} for name in splits],
            }
        ],
    )
    # The Parquet pages are not compressed, so that the download size equals the size of the data.
    num_bytes = {name: _bytes_of(manifest, name) for name in splits}
    info = DatasetInfo(
        features=features,
        splits=SplitDict(
            {name: SplitInfo(name, num_bytes[name], split["num_images"]) for name, split in splits.items()}
        ),
        download_size=sum(num_bytes.values()),
        dataset_size=sum(num_bytes.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data


def _bytes_of(manifest: Mapping[str, Any], split: str) -> int:
    """Return the size in bytes of the files of a split."""
    return sum(file["num_bytes"] for path, file in manifest["files"].items() if Path(path).name.startswith(f"{split}-"))


def _read_features(shard: Path) -> Features:
    import pyarrow.parquet as pq
    from datasets import Features

    return Features.from_arrow_schema(pq.read_schema(shard))
