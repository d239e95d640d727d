"""`CollectionFacts`: the model whose embeddings a collection has, and the folders that were loaded into it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ...embedding.manifest import MANIFEST_NAME
from ...embedding.model_identity import ModelIdentity
from ...files.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...embedding.shards import EmbeddingFolder

# Name under which the facts are stored in a collection.
FACTS_KEY = "hf_vitret"
# Increase it if this code can no longer add to collections that earlier code filled.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FolderLoad:
    """One folder of embeddings that was loaded into a collection.

    Attributes:
        manifest_sha256: SHA-256 of its `manifest.json`, which has the checksums of its shards. It identifies the
            folder.
        num_images: Number of images in it.
        num_bad_images: Number of images that could not be read and are not in it.
        dtype: Data type in which its vectors were stored: `"float32"`, `"float16"` or `"int8"`.
        scale: Factor from an int8 value to the float; `None` for other types.
        is_finished: Whether all of it is in the collection. False during the load and after an interruption.
    """

    manifest_sha256: str
    num_images: int
    num_bad_images: int
    dtype: str
    scale: float | None
    is_finished: bool = False


@dataclass(frozen=True)
class CollectionFacts:
    """The facts of a collection.

    Attributes:
        model: The model that made the vectors.
        dim: Length of a vector.
        normalized: Whether the vectors have unit L2 norm.
        columns: Names of the metadata columns, without `image_id` and `path`.
        loads: The folders that were loaded, in the order of their first load.
    """

    model: ModelIdentity
    dim: int
    normalized: bool
    columns: tuple[str, ...]
    loads: tuple[FolderLoad, ...]

    @classmethod
    def of(cls, folder: EmbeddingFolder) -> CollectionFacts:
        """Return the facts of a collection into which one folder is loaded."""
        manifest = folder.manifest
        load = FolderLoad(
            manifest_sha256=sha256_of(folder.folder / MANIFEST_NAME),
            num_images=manifest.num_images,
            num_bad_images=manifest.num_bad_images,
            dtype=manifest.dtype,
            scale=manifest.scale,
        )
        return cls(manifest.model, manifest.dim, manifest.normalized, manifest.columns, (load,))

    @classmethod
    def from_json(cls, content: Any, collection: str) -> CollectionFacts:
        """Convert the facts from the content that `to_json` returned.

        Raises:
            ValueError: This package did not make the collection, or another version of it did.
        """
        if not isinstance(content, dict) or "format_version" not in content:
            raise ValueError(
                f"expected a collection that this package made; {collection!r} does not say whose embeddings it holds: "
                "name another collection, or remove it"
            )
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"collection {collection!r}: expected format_version {FORMAT_VERSION}, got "
                f"{content['format_version']!r}: name another collection, or use the release of hf_vitret that made it"
            )
        try:
            return cls(
                model=ModelIdentity(**content["model"]),
                dim=content["dim"],
                normalized=content["normalized"],
                columns=tuple(content["columns"]),
                loads=tuple(FolderLoad(**load) for load in content["loads"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the facts of collection {collection!r} are damaged ({type(error).__name__}: {error}): remove the "
                "collection, and load again"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    def joined_by(self, other: CollectionFacts, collection: str) -> CollectionFacts:
        """Return the facts after the folders of `other` are loaded too. A folder that is there already keeps its place.

        Raises:
            ValueError: The vectors of `other` are not comparable to these, or have other columns.
        """
        differences = self.model.difference(other.model)
        if self.dim != other.dim:
            differences.append(f"other dimensions ({self.dim} and {other.dim})")
        if self.normalized != other.normalized:
            differences.append("only one of them has vectors with unit norm")
        if differences:
            raise ValueError(
                f"collection {collection!r} holds embeddings of another model than this folder: "
                f"{'; '.join(differences)}. Name another collection, or embed with the model of the collection"
            )
        if set(self.columns) != set(other.columns):
            raise ValueError(
                f"expected the columns of collection {collection!r}, {_names(self.columns)}; got "
                f"{_names(other.columns)}: embed with the same columns, or name another collection"
            )
        loads = {load.manifest_sha256: load for load in (*self.loads, *other.loads)}
        return replace(self, loads=tuple(loads.values()))

    def finished(self, load: FolderLoad) -> CollectionFacts:
        """Return the facts after all of this folder is loaded."""
        loads = (replace(each, is_finished=True) if each == load else each for each in self.loads)
        return replace(self, loads=tuple(loads))


def facts_of_properties(properties: Mapping[str, Any] | None) -> Any:
    """Return the facts in the properties that an engine stores for a collection, or None."""
    return (properties or {}).get(FACTS_KEY)


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(columns) or "none"
