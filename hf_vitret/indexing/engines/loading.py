"""A folder of embeddings into a collection of any engine, a block at a time."""

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
    """What is asked of an engine.

    Attributes:
        engine: What it is called.
        location: Where it is, for people.
        name: Of the collection.
    """

    engine: str
    location: str
    name: str

    def read_facts(self) -> CollectionFacts | None:
        """Return what the collection says of itself; `None` where there is no such collection."""

    def create(self, facts: CollectionFacts, schema: pa.Schema) -> None:
        """Make an empty collection, with its facts; `schema` is that of the metadata, with `image_id` and `path`."""

    def write_facts(self, facts: CollectionFacts) -> None:
        """Keep other facts with the collection."""

    def upsert(self, blocks: Iterator[EmbeddingShard]) -> None:
        """Add the images of all blocks; those whose id is there are replaced."""

    def count(self) -> int:
        """Return how many images the collection holds."""


@dataclass(frozen=True)
class LoadReport:
    """What was loaded.

    Attributes:
        engine: `"Qdrant"`, `"LanceDB"` or `"Milvus"`.
        location: Folder or address.
        collection: Its name there.
        num_images: Images of the folder, all of which are in the collection now.
        num_in_collection: Images that the collection holds.
        facts: What the collection says of itself.
    """

    engine: str
    location: str
    collection: str
    num_images: int
    num_in_collection: int
    facts: CollectionFacts

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def load_into(collection: Collection, embeddings: str | PathLike[str], *, progress: bool = True) -> LoadReport:
    """Upsert all images of a folder.

    Args:
        collection: Of an engine; made where it is not there.
        embeddings: What `hf-vitret embed` wrote.
        progress: Whether to show a bar.

    Raises:
        FileNotFoundError: The folder is none, is not finished, or lacks a shard.
        ValueError: It has no images, or an id twice; the collection is of another model, or of somebody else.
        OSError: The engine does not answer, or does not hold what was loaded.
    """
    folder = EmbeddingFolder(embeddings)
    if not folder.num_images:
        raise ValueError(f"expected images in {folder.folder}; it has none")
    facts = CollectionFacts.of(folder)
    (load,) = facts.loads
    there = collection.read_facts()
    if there is not None:
        facts = there.joined_by(facts, collection.name)
    check_folder_ids(folder)
    if there is None:
        collection.create(facts, next(folder.shards()).table.schema)
    else:
        collection.write_facts(facts)
    with tqdm(total=folder.num_images, desc="Loading", unit="img", disable=not progress, leave=False) as bar:
        collection.upsert(_counted(folder.shards(), bar))
    num_there = collection.count()
    if num_there < folder.num_images:
        raise OSError(
            f"{collection.engine} at {collection.location}: expected {folder.num_images:,} images or more in "
            f"collection {collection.name!r} after the load; it counts {num_there:,}: load again"
        )
    facts = facts.finished(load)
    collection.write_facts(facts)
    return LoadReport(collection.engine, collection.location, collection.name, folder.num_images, num_there, facts)


def _counted(blocks: Iterator[EmbeddingShard], bar: tqdm[Any]) -> Iterator[EmbeddingShard]:
    """Pass blocks on; one counts once the next is asked for."""
    for block in blocks:
        yield block
        bar.update(len(block.embeddings))
