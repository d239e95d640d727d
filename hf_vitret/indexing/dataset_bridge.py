"""An index attached to a data set of `datasets`: its own `get_nearest_examples`, by inner product and by ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset

    from .image_index import ImageIndex


class AttachedIndex:
    """What `datasets` asks of an index: rows of the data set for a query.

    Args:
        index: What is searched.
        rows: `(num_vectors,)` int64: the row of the image at each position of the index; -1 for a removed one.
    """

    def __init__(self, index: ImageIndex, rows: np.ndarray) -> None:
        self.index, self._rows = index, rows

    def search(self, query: Any, k: int = 10, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and rows of one query, `(dim,)` or `(1, dim)` float; settings as of `ImageIndex.search`."""
        scores, rows = self.search_batch(np.asarray(query).reshape(1, -1), k, **settings)
        return scores[0], rows[0]

    def search_batch(self, queries: Any, k: int = 10, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and rows of queries, `(num_queries, dim)` float."""
        scores, positions = self.index.search_positions(np.asarray(queries), k, **settings)
        return scores, np.where(positions >= 0, self._rows[positions], -1)

    def save(self, file: Any) -> None:
        """Write the index into a folder."""
        self.index.save(file)


def attach_index(
    dataset: Dataset, index: ImageIndex, name: str = "embedding", *, id_column: str = "image_id"
) -> Dataset:
    """Let a data set answer by an index.

        attach_index(dataset, index)
        scores, examples = dataset.get_nearest_examples("embedding", query, k=10)

    Where `datasets.add_faiss_index` builds an index of its own, by Euclidean distance, trained on the first rows and
    bound to their order, this one is the index that was built, by inner product, and finds rows by their ids: the
    data set may be in another order, and hold images that are not in the index. With faiss or without.

    Args:
        dataset: With a column of the ids.
        index: What is searched. Images that are added to it later are not found through the data set: attach it again.
        name: That the data set calls the index.
        id_column: Name of the column.

    Returns:
        The same data set.

    Raises:
        ValueError: There is no such column, an id comes twice in it, or an image of the index is not in the data set.
        TypeError: Ids are of another kind than those of the index.
    """
    if id_column not in dataset.column_names:
        raise ValueError(f"expected a column of {', '.join(dataset.column_names)} with the ids; got {id_column!r}")
    positions = index.records.positions_of(dataset[id_column][:])
    is_indexed = positions >= 0
    rows = np.full(len(index.records), -1, dtype=np.int64)
    rows[positions[is_indexed]] = np.flatnonzero(is_indexed)
    if len(np.unique(positions[is_indexed])) != int(is_indexed.sum()):
        raise ValueError(f"expected each id once in the column {id_column}; some come twice")
    absent = np.flatnonzero((rows < 0) & ~index.records.is_removed)
    if len(absent):
        some = ", ".join(map(str, index.records.ids_at(absent[:5]).tolist()))
        raise ValueError(
            f"{len(absent):,} images of the index are not in the data set, such as {some}: remove them from the index, "
            "or attach it to the data set that was embedded"
        )
    # There is no public way to hand over an index that is not faiss's own.
    dataset._indexes[name] = AttachedIndex(index, rows)
    return dataset
