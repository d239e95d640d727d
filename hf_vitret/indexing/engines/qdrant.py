"""`to_qdrant`: load a folder of embeddings into a collection of Qdrant, in a folder on this machine or on a server."""

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
# A server accepts 32 MB per request, and a float takes about 20 characters of JSON: 10 MB for vectors, the rest for
# metadata.
_VECTOR_BYTES_A_REQUEST = 1 << 21
# It must never change, because the ids in all collections depend on it.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "hf_vitret:image_id")


def point_id(image_id: str) -> str:
    """Return the id of the point of an image, a UUID, because Qdrant does not accept other text.

    It depends only on the id of the image. A collection has vectors of one model, so the id need not name the model,
    and an image has the same id in the collections of all models, which can so be compared.

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
    """Upsert a folder of embeddings into a collection of Qdrant, which scores by the inner product.

    The point of an image has the id `point_id(image_id)`, and its payload has `image_id`, `path` and the metadata:
    numbers and text unchanged, dates as ISO 8601 text. `client.get_collection(...).config.metadata["hf_vitret"]` names
    the model that made the vectors.

    The local mode is written in Python: it has all vectors in memory, compares a query with each of them, waits for the
    disk after each point, and warns above 20,000 points. Its files are pickles, so open only your own folders. A server
    cannot read them. A server makes its index itself; filters are fast after `client.create_payload_index` for their
    columns.

    Args:
        embeddings: A folder that `hf-vitret embed` wrote.
        location: A folder, for the local mode of Qdrant; the address of a server of version 1.16 or later, such as
            `"http://localhost:6333"`; or an open client, which stays open. The key for a server is read from the
            environment variable `QDRANT_API_KEY`.
        collection: Name of the collection, which is created if it does not exist.
        progress: Whether to show a progress bar.

    Returns:
        The report: the number of images, and the facts of the collection.

    Raises:
        ImportError: qdrant-client is not installed.
        FileNotFoundError: The folder is not a folder of embeddings, is not finished, or a shard is missing.
        ValueError: The folder has no images or an id twice, the collection has vectors of another model or was not made
            by this package, a number in the metadata is infinite, the address has a password, or the key would be sent
            unencrypted.
        OSError: Qdrant does not answer or refuses, or another program has the folder open.
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
    # RuntimeError: another program has the folder open.
    with said_by("Qdrant", location, ApiException, RuntimeError):
        client = (
            # `create` checks the version of a server; the client would check it in a thread for which nothing waits.
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
                f"Qdrant at {self.location} does not store the facts of a collection: expected a server of version "
                "1.16 or later"
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
