"""`to_lancedb`: load a folder of embeddings into a table of LanceDB, in a folder or a bucket, without a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...embedding.shards import EMBEDDING_COLUMN, ID_COLUMN
from .collection_facts import FACTS_KEY, CollectionFacts
from .loading import LoadReport, load_into
from .locations import is_address, said_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pyarrow as pa
    from lancedb import DBConnection
    from lancedb.table import Table

    from ...embedding.shards import EmbeddingShard

MISSING = 'this needs lancedb: pip install "hf_vitret[lancedb]"'
# Bytes of vectors per commit; each commit makes a file and a version of the table.
_VECTOR_BYTES_A_COMMIT = 1 << 26


def to_lancedb(
    embeddings: str | PathLike[str],
    location: str | PathLike[str] | DBConnection,
    *,
    collection: str = "images",
    progress: bool = True,
) -> LoadReport:
    """Upsert a folder of embeddings into a table of LanceDB, with columns `image_id`, `path`, `embedding` and metadata.

    Search with `table.search(vector).metric("dot")`, because the default is another distance; `1 - _distance` is the
    inner product. Without an index, this is a scan of all vectors on all cores; `table.create_index(metric="dot", ...)`
    makes an IVF-PQ index. The metadata of the column `embedding` names the model that made the vectors.

    To publish on the Hub, load into a folder and upload it: `hf upload USER/NAME FOLDER data --repo-type dataset`.
    `lancedb.connect("hf://datasets/USER/NAME/data").open_table("images")` then opens it, and reads only what a search
    needs.

    A load into a new table appends. A load into a table with images merges by `image_id`, and keeps the replaced rows
    on the disk until `table.optimize()`. Both have about 64 MB of vectors in memory.

    Args:
        embeddings: A folder that `hf-vitret embed` wrote.
        location: A folder, which is created if it does not exist; an address that `lancedb.connect` takes, such as
            `"s3://bucket/path"`; or an open connection. LanceDB reads the secrets of buckets and `LANCEDB_API_KEY` from
            the environment.
        collection: Name of the table, which is created if it does not exist.
        progress: Whether to show a progress bar.

    Returns:
        The report: the number of images, and the facts of the table.

    Raises:
        ImportError: lancedb is not installed.
        FileNotFoundError: The folder is not a folder of embeddings, is not finished, or a shard is missing.
        ValueError: The folder has no images or an id twice, the table has vectors of another model or was not made by
            this package, a column has a name that LanceDB does not accept, or `location` is on the Hub or has a
            password.
        OSError: LanceDB cannot read or write at the location.
    """
    try:
        import lancedb
    except ImportError as error:
        raise ImportError(MISSING) from error
    if isinstance(location, lancedb.DBConnection):
        with said_by("LanceDB", "the given connection", RuntimeError):
            return load_into(_LanceTable(location, "the given connection", collection), embeddings, progress=progress)
    location = str(location)
    if location.startswith("hf://"):
        raise ValueError(
            f"expected a folder or a bucket; got {location}: load into a folder, and upload that as one commit with "
            "hf upload USER/NAME FOLDER data --repo-type dataset"
        )
    if is_address(location) and "@" in location.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError("expected an address without a user or password, which commands and reports would show")
    with said_by("LanceDB", location, RuntimeError):
        return load_into(_LanceTable(lancedb.connect(location), location, collection), embeddings, progress=progress)


class _LanceTable:
    engine = "LanceDB"

    def __init__(self, connection: DBConnection, location: str, name: str) -> None:
        self.location, self.name = location, name
        self._connection = connection
        self._opened: Table | None = None

    @property
    def _table(self) -> Table:
        if self._opened is None:
            self._opened = self._connection.open_table(self.name)
        return self._opened

    def read_facts(self) -> CollectionFacts | None:
        if self.name not in _table_names(self._connection):
            return None
        schema = self._table.schema
        kept = schema.field(EMBEDDING_COLUMN).metadata if EMBEDDING_COLUMN in schema.names else None
        text = (kept or {}).get(FACTS_KEY.encode(), b"null")
        return CollectionFacts.from_json(json.loads(text), self.name)

    def create(self, facts: CollectionFacts, schema: pa.Schema) -> None:
        import pyarrow as pa

        dotted = [name for name in schema.names if "." in name]
        if dotted:
            raise ValueError(
                f"expected columns without a dot, which LanceDB reads as a nested field; got {dotted}: rename them"
            )
        vectors = pa.field(EMBEDDING_COLUMN, pa.list_(pa.float32(), facts.dim), metadata=_field_metadata(facts))
        fields = [pa.field(field.name, _plain_type(field.type)) for field in schema]
        self._opened = self._connection.create_table(self.name, schema=pa.schema([*fields, vectors]))

    def write_facts(self, facts: CollectionFacts) -> None:
        self._table.update_field_metadata({"path": EMBEDDING_COLUMN, "metadata": _field_metadata(facts)})

    def upsert(self, blocks: Iterator[EmbeddingShard]) -> None:
        is_new = not self.count()
        for part in self._commits(blocks):
            if is_new:
                self._table.add(part)
            else:
                merge = self._table.merge_insert(ID_COLUMN).when_matched_update_all().when_not_matched_insert_all()
                merge.execute(part)

    def count(self) -> int:
        return int(self._table.count_rows())

    def _commits(self, blocks: Iterator[EmbeddingShard]) -> Iterator[pa.Table]:
        """Join blocks into tables of the size of a commit."""
        import pyarrow as pa

        schema, parts, num_bytes = self._table.schema, [], 0
        for block in blocks:
            values = pa.array(block.embeddings.ravel())
            vectors = pa.FixedSizeListArray.from_arrays(values, block.embeddings.shape[1])
            table = block.table.append_column(EMBEDDING_COLUMN, vectors)
            parts.append(table.select(schema.names).cast(schema))
            num_bytes += block.embeddings.nbytes
            if num_bytes >= _VECTOR_BYTES_A_COMMIT:
                yield pa.concat_tables(parts)
                parts, num_bytes = [], 0
        if parts:
            yield pa.concat_tables(parts)


def _table_names(connection: DBConnection) -> set[str]:
    names: set[str] = set()
    page: Any = None
    while page is None or page.page_token:
        page = connection.list_tables(page_token=page.page_token if page is not None else None)
        names.update(page.tables)
    return names


def _field_metadata(facts: CollectionFacts) -> dict[str, str]:
    return {FACTS_KEY: json.dumps(facts.to_json(), ensure_ascii=False)}


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column that is dictionary-encoded or null; of other columns, their type."""
    import pyarrow as pa

    if pa.types.is_null(type_):
        return pa.string()
    return type_.value_type if pa.types.is_dictionary(type_) else type_
