"""`load_into`: load a folder of embeddings into a collection of any engine, one block at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tqdm.auto import tqdm

from ...embedding.shards import EmbeddingFolder
from .collection_facts import CollectionFacts
from .unique_ids import check_folder_ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pyarrow as pa

    from ...embedding.shards import EmbeddingShard


class Collection(Protocol):
    """The interface to a collection of an engine.

    Attributes:
        engine: Name of the engine.
        location: Folder or address of the engine, for messages.
        name: Name of the collection.
    """

    engine: str
    location: str
    name: str

    def read_facts(self) -> CollectionFacts | None:
        """Return the facts of the collection; `None` if there is no such collection."""

    def create(self, facts: CollectionFacts, schema: pa.Schema) -> None:
        """Create an empty collection with its facts; `schema` has the metadata columns, `image_id` and `path`."""

    def write_facts(self, facts: CollectionFacts) -> None:
        """Replace the facts of the collection."""

    def upsert(self, blocks: Iterator[EmbeddingShard]) -> None:
        """Add the images of all blocks, and replace those whose id is in the collection."""

    def count(self) -> int:
        """Return the number of images in the collection."""


@dataclass(frozen=True)
class LoadReport:
    """The result of a load.

    Attributes:
        engine: `"Qdrant"`, `"LanceDB"` or `"Milvus"`.
        location: Folder or address of the engine.
        collection: Name of the collection.
        num_images: Number of images in the folder, all of which are in the collection now.
        num_in_collection: Number of images in the collection.
        facts: Facts of the collection.
    """

    engine: str
    location: str
    collection: str
    num_images: int
    num_in_collection: int
    facts: CollectionFacts

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def load_into(collection: Collection, embeddings: str | PathLike[str], *, progress: bool = True) -> LoadReport:
    """Upsert all images of a folder into a collection.

    Args:
        collection: A collection of an engine, which is created if it does not exist.
        embeddings: A folder that `hf-vitret embed` wrote.
        progress: Whether to show a progress bar.

    Returns:
        The report.

    Raises:
        FileNotFoundError: The folder is not a folder of embeddings, is not finished, or a shard is missing.
        ValueError: The folder has no images or an id twice, or the collection has vectors of another model, or this
            package did not make it.
        OSError: The engine does not answer, or does not have all images after the load.
    """
    folder = EmbeddingFolder(embeddings)
    if not folder.num_images:
        raise ValueError(f"expected embeddings in {folder.folder}; it has none: its bad_images.json has the reasons")
    facts = CollectionFacts.of(folder)
    (load,) = facts.loads
    existing = collection.read_facts()
    if existing is not None:
        facts = existing.joined_by(facts, collection.name)
    check_folder_ids(folder)
    if existing is None:
        collection.create(facts, next(folder.shards()).table.schema)
    else:
        collection.write_facts(facts)
    with tqdm(total=folder.num_images, desc="Loading", unit="img", disable=not progress, leave=False) as bar:
        collection.upsert(_counted(folder.shards(), bar))
    num_in_collection = collection.count()
    if num_in_collection < folder.num_images:
        raise OSError(
            f"{collection.engine} at {collection.location}: expected {folder.num_images:,} images or more in "
            f"collection {collection.name!r} after the load; it counts {num_in_collection:,}: load again"
        )
    facts = facts.finished(load)
    collection.write_facts(facts)
    where = (collection.engine, collection.location, collection.name)
    return LoadReport(*where, folder.num_images, num_in_collection, facts)


def _counted(blocks: Iterator[EmbeddingShard], bar: tqdm[Any]) -> Iterator[EmbeddingShard]:
    """Yield the blocks, and count each after it was loaded."""
    for block in blocks:
        yield block
        bar.update(len(block.embeddings))
