"""What a folder of embeddings says of itself, in `manifest.json`, written last: once it is there all is there."""

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
# Raise it when folders written before cannot be read any more.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ShardFacts:
    """One shard of a folder of embeddings.

    Attributes:
        name: Of its file.
        num_rows: Images in it.
        sha256: Of that file, in hexadecimal.
        source: The part of the input that it was made from.
        ids_sha256: Of the file with its ids, where that is one of its own (beside a `.npy`).
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
        model: Which model made them.
        dim: Length of a vector.
        dtype: How they are stored: `"float32"`, `"float16"` or `"int8"`.
        scale: What an int8 value is multiplied by to give the float, one number for all shards; else `None`.
        normalized: Whether they have unit L2 norm (up to their rounding).
        num_images: Rows of all shards together.
        num_bad_images: Images that could not be read: listed in `bad_images.json`, and in no shard.
        shards: In the order of the input.
        columns: Names of the columns beside `image_id`, `path` and `embedding`, taken along from the input.
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

        Raises:
            FileNotFoundError: The folder is no whole folder of embeddings.
            ValueError: It was written by another version, or is damaged.
        """
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is not a folder of embeddings, or not finished: expected {MANIFEST_NAME} in it. Write one "
                "with hf-vitret embed; the same command goes on with what an interrupted one left"
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
        """Write it into a folder, whole or not at all; the same facts give the same bytes."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        write_json(Path(folder) / MANIFEST_NAME, content)
