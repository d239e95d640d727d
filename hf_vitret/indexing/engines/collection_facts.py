"""What a collection says of itself: whose embeddings it holds, and which folders were loaded into it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ...embedding.manifest import MANIFEST_NAME
from ...embedding.model_identity import ModelIdentity
from ...files.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...embedding.shards import EmbeddingFolder

# Under this name the facts are kept with a collection.
FACTS_KEY = "hf_vitret"
# Raise it when collections filled before cannot be added to any more.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FolderLoad:
    """One folder of embeddings that was loaded into a collection.

    Attributes:
        manifest_sha256: Of its `manifest.json`, which holds the checksums of its shards: tells one folder from another.
        num_images: Images in it.
        num_bad_images: Images that could not be read, and are not in it.
        dtype: How its vectors were stored: `"float32"`, `"float16"` or `"int8"`.
        scale: Of the int8 values; else `None`.
        is_finished: Whether all of it is in the collection; false while it is loaded, or after an interruption.
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
        model: Which model made the vectors.
        dim: Length of a vector.
        normalized: Whether they have unit L2 norm.
        columns: Names of the metadata beside `image_id` and `path`.
        loads: The folders that were loaded, in the order of their first load.
    """

    model: ModelIdentity
    dim: int
    normalized: bool
    columns: tuple[str, ...]
    loads: tuple[FolderLoad, ...]

    @classmethod
    def of(cls, folder: EmbeddingFolder) -> CollectionFacts:
        """Return the facts of a collection that one folder is being loaded into."""
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
        """Read what `to_json` gave.

        Raises:
            ValueError: The collection was not made by this package, or by another version of it.
        """
        if not isinstance(content, dict) or "format_version" not in content:
            raise ValueError(
                f"collection {collection!r} is there, and does not say whose embeddings it holds, as those that were "
                "made here do: name another collection, or remove it"
            )
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"collection {collection!r}: expected format_version {FORMAT_VERSION}, got "
                f"{content['format_version']!r}: name another collection, or take the release of hf_vitret that made it"
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
                f"what collection {collection!r} says of itself is damaged ({type(error).__name__}: {error}): remove "
                "it, and load again"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    def joined_by(self, other: CollectionFacts, collection: str) -> CollectionFacts:
        """Return the facts once `other`'s folders are loaded too; a folder that was loaded before stays in its place.

        Raises:
            ValueError: Vectors of `other` are not comparable to these, or come with other columns.
        """
        differences = self.model.difference(other.model)
        if self.dim != other.dim:
            differences.append(f"other dimensions ({self.dim} and {other.dim})")
        if self.normalized != other.normalized:
            differences.append("of one the vectors have unit norm, of the other not")
        if differences:
            raise ValueError(
                f"collection {collection!r} holds embeddings of another model than this folder: "
                f"{'; '.join(differences)}. Name another collection, or embed with the model of this one"
            )
        if set(self.columns) != set(other.columns):
            raise ValueError(
                f"expected the columns of collection {collection!r}, {_names(self.columns)}; got "
                f"{_names(other.columns)}: embed with the same columns, or name another collection"
            )
        loads = {load.manifest_sha256: load for load in (*self.loads, *other.loads)}
        return replace(self, loads=tuple(loads.values()))

    def finished(self, load: FolderLoad) -> CollectionFacts:
        """Return the facts once all of that folder is there."""
        loads = (replace(each, is_finished=True) if each == load else each for each in self.loads)
        return replace(self, loads=tuple(loads))


def facts_of_properties(properties: Mapping[str, Any] | None) -> Any:
    """Return what an engine keeps under our name, if anything."""
    return (properties or {}).get(FACTS_KEY)


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(columns) or "none"
