"""A folder of images searched without an index of its own: embedded once, into a cache, and indexed exactly."""

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
    """Embed and index images, or load what an earlier call has kept of the same images and the same model.

    What is kept is found by the model's identity and by path, size and time of change of each file: images that were
    added, changed or removed are noticed, and all are embedded again. An interrupted call goes on where it stopped.

    Args:
        model: A `ViTRetModel`.
        images: A folder, a pattern, a table of paths, Parquet files or tar archives of images, or a data set of the
            Hub.
        model_name: Where the model was loaded from; `None`: what its configuration says.
        cache_dir: Where embeddings are kept; `None`: `hf_vitret/collections` in the cache of the Hub's client, HF_HOME.
        say: Prints a line about what is going on.

    Returns:
        The index, and the folder in which it is kept.

    Raises:
        FileNotFoundError: There are no such images.
        ValueError: The images cannot be listed, or none can be read.
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
        say(f"{manifest.num_bad_images:,} images cannot be read, and are left out: {listed}")
    index = ImageIndex.build_from(folder / EMBEDDINGS, progress=False)
    index.save(folder / INDEX)
    return index, folder


def _key(identity: ModelIdentity, source: ImageSource) -> str:
    """Return a name for what is kept: of the model, and of the files as they are now."""
    parts = [identity.weights_sha256, identity.config_sha256, identity.processor_sha256, source.fingerprint]
    parts += [f"{path} {path.stat().st_mtime_ns}" for path in source.files if path.exists()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
