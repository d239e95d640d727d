"""A cache of indexes, so that a folder of images can be searched without an index of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..embedding.model_identity import ModelIdentity
from ..embedding.sources.opening import open_source
from ..embedding.write_embeddings import BAD_IMAGES_NAME, write_embeddings
from .image_index import ImageIndex, is_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from torch import nn

    from ..embedding.sources.source import ImageSource

EMBEDDINGS, INDEX = "embeddings", "index"


def indexed_collection(
    model: nn.Module,
    images: str | PathLike[str],
    *,
    model_name: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[ImageIndex, Path]:
    """Embed and index images, or load the index that an earlier call made from the same images and the same model.

    The key of the cache is the identity of the model, and the path, size and modification time of each file. If an
    image was added, changed or removed, all images are embedded again. After an interruption, the next call continues
    with the first shard that is not finished.

    Args:
        model: A `ViTRetModel`.
        images: A folder, a pattern, a table of paths, Parquet files or tar archives of images, or the id of a data set
            on the Hub.
        model_name: Folder or Hub id that the model was loaded from. `None`: the one in its configuration.
        cache_dir: Folder of the cache. `None`: `hf_vitret/collections` in the folder HF_HOME of the Hub's client.
        say: Called with each line of the report.

    Returns:
        index: The index, whose search is exact for up to 50,000 images; see `choose_index`.
        folder: Its folder in the cache.

    Raises:
        FileNotFoundError: There are no such images.
        ValueError: The images cannot be listed, or none of them can be read.
    """
    from huggingface_hub import constants

    source = open_source(images)
    identity = ModelIdentity.of(model, name=model_name)
    parent = Path(cache_dir) if cache_dir is not None else Path(constants.HF_HOME) / "hf_vitret" / "collections"
    folder = parent / _key(identity, source)
    if is_index(folder / INDEX):
        return ImageIndex.load(folder / INDEX), folder
    say(f"Embedding {source.name} ...")
    manifest = write_embeddings(model, source, folder / EMBEDDINGS, model_name=model_name, rank=0, world_size=1)
    if manifest is not None and manifest.num_bad_images:
        listed = folder / EMBEDDINGS / BAD_IMAGES_NAME
        say(f"Images that cannot be read and are left out: {manifest.num_bad_images:,} (reasons in {listed})")
    index = ImageIndex.build_from(folder / EMBEDDINGS, progress=False)
    index.save(folder / INDEX)
    return index, folder


def _key(identity: ModelIdentity, source: ImageSource) -> str:
    """Return the key of a model and of the files as they are now."""
    parts = [identity.weights_sha256, identity.config_sha256, identity.processor_sha256, source.fingerprint]
    parts += [f"{path.absolute()} {path.stat().st_mtime_ns}" for path in source.files if path.exists()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
