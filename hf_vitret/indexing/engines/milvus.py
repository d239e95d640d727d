"""`to_milvus`: load a folder of embeddings into a collection of Milvus, in a file on this machine or on a server."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ...embedding.shards import EMBEDDING_COLUMN, ID_COLUMN
from .collection_facts import FACTS_KEY, CollectionFacts, facts_of_properties
from .loading import LoadReport, load_into
from .locations import is_address, said_by, secret_for
from .plain_values import plain_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pyarrow as pa
    from pymilvus import DataType, MilvusClient

    from ...embedding.shards import EmbeddingShard

TOKEN = "MILVUS_TOKEN"
MISSING = 'this needs pymilvus and milvus-lite: pip install "hf_vitret[milvus]"'
# A server accepts 64 MB per message, which also has the metadata.
_VECTOR_BYTES_A_REQUEST = 1 << 23
# Largest number of bytes of a text, which is the maximum of Milvus.
_MAX_TEXT_BYTES = 65_535
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def to_milvus(
    embeddings: str | PathLike[str],
    location: str | PathLike[str] | MilvusClient,
    *,
    collection: str = "images",
    progress: bool = True,
) -> LoadReport:
    """Upsert a folder of embeddings into a collection of Milvus, whose searches return the inner product as `distance`.

    The fields are `image_id`, which is the primary key, `path`, `embedding` and the metadata: booleans, 64-bit integers
    and floats, and text; dates become text. `client.describe_collection(...)["properties"]["hf_vitret"]` names the
    model that made the vectors. Milvus chooses the index (AUTOINDEX).

    Milvus Lite runs in this process until the process ends, and no other process can open the file until then. It is
    for trials: a server cannot read its files, so load the embeddings into the server again.

    Args:
        embeddings: A folder that `hf-vitret embed` wrote.
        location: A path that ends in `.db`, for Milvus Lite; the address of a server, such as
            `"http://localhost:19530"`; or an open client, which stays open. The token for a server is read from the
            environment variable `MILVUS_TOKEN`.
        collection: Name of the collection, which is created if it does not exist.
        progress: Whether to show a progress bar.

    Returns:
        The report: the number of images, and the facts of the collection.

    Raises:
        ImportError: pymilvus or milvus-lite is not installed.
        FileNotFoundError: The folder is not a folder of embeddings, is not finished, or a shard is missing.
        ValueError: The folder has no images or an id twice, the collection has vectors of another model or was not made
            by this package, the path does not end in `.db`, a column has a name that Milvus does not accept, or the
            address has a password, or the token would be sent unencrypted.
        OSError: Milvus does not answer, or refuses.
    """
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError as error:
        raise ImportError(MISSING) from error
    if isinstance(location, MilvusClient):
        with said_by("Milvus", "the given client", MilvusException):
            return load_into(_MilvusCollection(location, "the given client", collection), embeddings, progress=progress)
    location = str(location)
    with said_by("Milvus", location, MilvusException):
        client = MilvusClient(location, token=_token(location))
        try:
            return load_into(_MilvusCollection(client, location, collection), embeddings, progress=progress)
        finally:
            client.close()


def _token(location: str) -> str:
    """Return the token for a server, or check that a path is one for Milvus Lite."""
    from importlib.util import find_spec

    if is_address(location):
        return secret_for(location, TOKEN) or ""
    if not location.endswith(".db"):
        raise ValueError(
            f"expected a path that ends in .db, for Milvus Lite, or the address of a server; got {location}"
        )
    if find_spec("milvus_lite") is None:
        raise ImportError(MISSING)
    return ""


class _MilvusCollection:
    engine = "Milvus"

    def __init__(self, client: MilvusClient, location: str, name: str) -> None:
        self.location, self.name = location, name
        self._client = client

    def read_facts(self) -> CollectionFacts | None:
        if not self._client.has_collection(self.name):
            return None
        kept = facts_of_properties(self._client.describe_collection(self.name).get("properties"))
        return CollectionFacts.from_json(json.loads(kept or "null"), self.name)

    def create(self, facts: CollectionFacts, schema: pa.Schema) -> None:
        from pymilvus import DataType

        wrong = [name for name in schema.names if not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"expected columns of letters, digits and _, which Milvus accepts; got {wrong}: rename them"
            )
        fields = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        fields.add_field(ID_COLUMN, DataType.VARCHAR, is_primary=True, max_length=_MAX_TEXT_BYTES)
        fields.add_field(EMBEDDING_COLUMN, DataType.FLOAT_VECTOR, dim=facts.dim)
        for field in schema:
            if field.name != ID_COLUMN:
                kind = _milvus_type(field.type)
                length = {"max_length": _MAX_TEXT_BYTES} if kind == DataType.VARCHAR else {}
                fields.add_field(field.name, kind, nullable=True, **length)
        index = self._client.prepare_index_params()
        index.add_index(EMBEDDING_COLUMN, index_type="AUTOINDEX", metric_type="IP")
        self._client.create_collection(self.name, schema=fields, index_params=index, properties=_properties(facts))

    def write_facts(self, facts: CollectionFacts) -> None:
        self._client.alter_collection_properties(self.name, properties=_properties(facts))

    def upsert(self, blocks: Iterator[EmbeddingShard]) -> None:
        for block in blocks:
            rows: list[dict[str, Any]] = plain_rows(block.table)
            for row, embedding in zip(rows, block.embeddings, strict=True):
                row[EMBEDDING_COLUMN] = embedding
            at_once = max(1, _VECTOR_BYTES_A_REQUEST // block.embeddings[0].nbytes)
            for first in range(0, len(rows), at_once):
                self._client.upsert(self.name, rows[first : first + at_once])

    def count(self) -> int:
        self._client.load_collection(self.name)
        (row,) = self._client.query(self.name, output_fields=["count(*)"], consistency_level="Strong")
        return int(row["count(*)"])


def _milvus_type(type_: pa.DataType) -> DataType:
    """Return the type of the field for a column, whose values `plain_rows` has converted."""
    import pyarrow as pa
    from pymilvus import DataType

    kind = type_.value_type if pa.types.is_dictionary(type_) else type_
    if pa.types.is_boolean(kind):
        return DataType.BOOL
    if pa.types.is_integer(kind):
        return DataType.INT64
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return DataType.DOUBLE
    return DataType.VARCHAR


def _properties(facts: CollectionFacts) -> dict[str, str]:
    return {FACTS_KEY: json.dumps(facts.to_json(), ensure_ascii=False)}
