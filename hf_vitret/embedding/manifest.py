"""The manifest of a folder of embeddings, `manifest.json`, which is written last: with it the folder is complete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.json_values import write_json
from .model_identity import ModelIdentity

if TYPE_CHECKING:
    from os import PathLike

MANIFEST_NAME = "manifest.json"
# Increase it if this code can no longer read folders that earlier code wrote.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ShardFacts:
    """One shard of a folder of embeddings.

    Attributes:
        name: Name of its file.
        num_rows: Number of images in it.
        sha256: SHA-256 of this file, in hexadecimal.
        source: Name of the part of the input from which it was made.
        ids_sha256: SHA-256 of the file with its ids, which a `.npy` file has; else `None`.
    """

    name: str
    num_rows: int
    sha256: str
    source: str
    ids_sha256: str | None = None


@dataclass(frozen=True)
class EmbeddingManifest:
    """The facts of a folder of embeddings.

    Attributes:
        model: The model that made the embeddings.
        dim: Length of a vector.
        dtype: Data type in which the vectors are stored: `"float32"`, `"float16"` or `"int8"`.
        scale: Factor from an int8 value to the float, the same for all shards; `None` for other types.
        normalized: Whether the vectors have unit L2 norm, up to the rounding of their type.
        num_images: Number of images in all shards.
        num_bad_images: Number of images that could not be read. They are listed in `bad_images.json` and are in no
            shard.
        shards: The shards, in the order of the input.
        columns: Names of the metadata columns that were copied from the input, without `image_id`, `path` and
            `embedding`.
    """

    model: ModelIdentity
    dim: int
    dtype: str
    scale: float | None
    normalized: bool
    num_images: int
    num_bad_images: int
    shards: tuple[ShardFacts, ...]
    columns: tuple[str, ...]

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> EmbeddingManifest:
        """Read the manifest of a folder.

        Args:
            folder: The folder of embeddings.

        Raises:
            FileNotFoundError: The folder is not a folder of embeddings, or is not finished.
            ValueError: Another version of this package wrote the manifest, or it is damaged.
        """
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is not a folder of embeddings, or not finished: expected {MANIFEST_NAME} in it. Write one "
                "with hf-vitret embed; after an interruption, the same command continues"
            )
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version = fields.pop("format_version")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): embed again") from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}: read it with the release of "
                "hf_vitret that wrote it, or embed again"
            )
        try:
            fields["model"] = ModelIdentity(**fields["model"])
            fields["shards"] = tuple(ShardFacts(**shard) for shard in fields["shards"])
            fields["columns"] = tuple(fields["columns"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): embed again") from error

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the manifest into a folder, completely or not at all. The same facts give the same bytes."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        write_json(Path(folder) / MANIFEST_NAME, content)
