"""The card of a prepared data set, written from the data: no number is typed by hand."""

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
LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")  # as the Hub spells them: "cc-by-4.0", "other", "unknown"
# The Hub's own classes of size: more images than this -> its name.
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
    """Write `README.md` into a folder that `prepare_dataset` has written.

    Its header tells `datasets` and the Hub's viewer the splits, features and counts; `load_dataset` checks the counts.

    Args:
        folder: The prepared folder.
        title: What a person calls the data set.
        license: Licence of the images, as the source gives it: the Hub's name for it ("cc-by-4.0"), or in words.
        repo_id: Where on the Hub it will be, for the code that the card shows; default: it is loaded from its folder.

    Returns:
        The card's path.

    Raises:
        FileNotFoundError: The folder is not a prepared one.
    """
    from huggingface_hub import DatasetCard

    manifest = read_manifest(folder)
    files = manifest["files"]
    features = _read_features(Path(folder) / next(iter(files)))
    card = DatasetCard.from_template(
        _card_data(manifest, features, title, license),
        template_path=str(TEMPLATE),
        title=title,
        place=repo_id or Path(folder).resolve().name,
        is_on_hub=repo_id is not None,
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
    """Make the header: what the Hub searches by, and what `load_dataset` reads."""
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
    # The pages are not compressed: what is downloaded is what is read.
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
    """Return the size of a split's files."""
    return sum(file["num_bytes"] for path, file in manifest["files"].items() if Path(path).name.startswith(f"{split}-"))


def _read_features(shard: Path) -> Features:
    import pyarrow.parquet as pq
    from datasets import Features

    return Features.from_arrow_schema(pq.read_schema(shard))
