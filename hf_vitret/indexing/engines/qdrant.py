"""A folder of embeddings into a collection of Qdrant: a folder on this machine, or a server."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from .collection_facts import FACTS_KEY, CollectionFacts, facts_of_properties
from .loading import LoadReport, load_into
from .locations import is_address, said_by, secret_for
from .plain_values import plain_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pyarrow as pa
    from qdrant_client import QdrantClient

    from ...embedding.shards import EmbeddingShard

API_KEY = "QDRANT_API_KEY"
MISSING = 'this needs qdrant-client: pip install "hf_vitret[qdrant]"'
# A server takes 32 MB a request, and a float is some 20 characters of JSON: 10 MB of text, and as much for metadata.
_VECTOR_BYTES_A_REQUEST = 1 << 21
# Never to change: the ids of all collections come from it.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "hf_vitret:image_id")


def point_id(image_id: str) -> str:
    """Return the id of an image's point: Qdrant takes no text but UUIDs.

    It depends on the image's id alone. A collection holds one model, so that the model need not be in it; and an image
    has one id in the collections of all models, by which they can be compared.

    Example:
        >>> point_id("shoes/0001.jpg")
        '9bfd3c97-cc77-5f4b-be6e-07e730c0d40e'
    """
    return str(uuid.uuid5(_NAMESPACE, image_id))


def to_qdrant(
    embeddings: str | PathLike[str],
    location: str | PathLike[str] | QdrantClient,
    *,
    collection: str = "images",
    progress: bool = True,
) -> LoadReport:
    """Upsert a folder of embeddings into a collection of Qdrant, by inner product.

    The point of an image has the id `point_id(image_id)`; its payload holds `image_id`, `path` and the metadata:
    numbers and text as they are, dates as ISO 8601 text. `client.get_collection(...).config.metadata["hf_vitret"]` says
    which model made the vectors.

    Args:
        embeddings: Folder that `hf-vitret embed` wrote.
        location: A folder, which Qdrant's own local mode makes and reads; the address of a server, as
            `"http://localhost:6333"`, of version 1.16 or later; or an open client, which stays open. The key for a
            server is read from the environment variable `QDRANT_API_KEY`.
        collection: Its name; made where it is not there.
        progress: Whether to show a bar.

    Local mode is Python: it holds all vectors in memory, compares with each of them, waits for the disk after each
    point, and warns above 20,000 points. Its files are pickles: open only folders of your own. A server does not read
    them. A server indexes by itself; filters are quick once `client.create_payload_index` was called for their columns.

    Returns:
        What was loaded.

    Raises:
        ImportError: qdrant-client is not installed.
        FileNotFoundError: The folder of embeddings is none, is not finished, or lacks a shard.
        ValueError: The collection is of another model, or was not made here; or as `load_into` and `secret_for`.
        OSError: Qdrant does not answer or refuses; or another program has the folder open.
    """
    try:
        from qdrant_client import QdrantClient
        from qdrant_client.http.exceptions import ApiException
    except ImportError as error:
        raise ImportError(MISSING) from error
    if isinstance(location, QdrantClient):
        with said_by("Qdrant", "the given client", ApiException):
            return load_into(_QdrantCollection(location, "the given client", collection), embeddings, progress=progress)
    location = str(location)
    # RuntimeError: a folder that another program has open.
    with said_by("Qdrant", location, ApiException, RuntimeError):
        client = (
            # `create` checks what is needed of a server; the client does so in a thread that nobody waits for.
            QdrantClient(url=location, api_key=secret_for(location, API_KEY), check_compatibility=False)
            if is_address(location)
            else QdrantClient(path=location)
        )
    try:
        with said_by("Qdrant", location, ApiException):
            return load_into(_QdrantCollection(client, location, collection), embeddings, progress=progress)
    finally:
        client.close()


class _QdrantCollection:
    engine = "Qdrant"

    def __init__(self, client: QdrantClient, location: str, name: str) -> None:
        self.location, self.name = location, name
        self._client = client

    def read_facts(self) -> CollectionFacts | None:
        if not self._client.collection_exists(self.name):
            return None
        kept = self._client.get_collection(self.name).config.metadata
        return CollectionFacts.from_json(facts_of_properties(kept), self.name)

    def create(self, facts: CollectionFacts, schema: pa.Schema) -> None:
        from qdrant_client import models

        vectors = models.VectorParams(size=facts.dim, distance=models.Distance.DOT)
        self._client.create_collection(self.name, vectors_config=vectors, metadata={FACTS_KEY: facts.to_json()})
        if facts_of_properties(self._client.get_collection(self.name).config.metadata) is None:
            self._client.delete_collection(self.name)
            raise OSError(
                f"Qdrant at {self.location} keeps no facts of a collection: expected a server of version 1.16 or later"
            )

    def write_facts(self, facts: CollectionFacts) -> None:
        self._client.update_collection(self.name, metadata={FACTS_KEY: facts.to_json()})

    def upsert(self, blocks: Iterator[EmbeddingShard]) -> None:
        from qdrant_client import models

        for block in blocks:
            rows: list[dict[str, Any]] = plain_rows(block.table)
            at_once = max(1, _VECTOR_BYTES_A_REQUEST // block.embeddings[0].nbytes)
            for first in range(0, len(rows), at_once):
                part = slice(first, first + at_once)
                points = models.Batch(
                    ids=[point_id(image_id) for image_id in block.ids[part]],
                    vectors=block.embeddings[part].tolist(),
                    payloads=rows[part],
                )
                self._client.upsert(self.name, points, wait=True)

    def count(self) -> int:
        return int(self._client.count(self.name, exact=True).count)
