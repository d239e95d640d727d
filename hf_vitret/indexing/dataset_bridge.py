"""`attach_index`: search a data set of `datasets` with an `ImageIndex`, by its method `get_nearest_examples`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset

    from .image_index import ImageIndex


class AttachedIndex:
    """The interface that `datasets` expects of an index: it returns rows of the data set for a query.

    Args:
        index: The index to search.
        rows: `(num_vectors,)` int64, the row of the image at each position of the index; -1 for a removed image.
    """

    def __init__(self, index: ImageIndex, rows: np.ndarray) -> None:
        self.index, self._rows = index, rows

    def search(self, query: Any, k: int = 10, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and rows for one query.

        Args:
            query: `(dim,)` or `(1, dim)` float.
            k: Number of images to find, at least 1.
            **settings: `model`, `where` and `min_score` of `ImageIndex.search`.
        """
        scores, rows = self.search_batch(np.asarray(query).reshape(1, -1), k, **settings)
        return scores[0], rows[0]

    def search_batch(self, queries: Any, k: int = 10, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and rows for several queries, `(num_queries, k)` each.

        Args:
            queries: `(num_queries, dim)` float.
            k: Number of images to find for each query, at least 1.
            **settings: `model`, `where` and `min_score` of `ImageIndex.search`.
        """
        scores, positions = self.index.search_positions(np.asarray(queries), k, **settings)
        return scores, np.where(positions >= 0, self._rows[positions], -1)

    def save(self, file: Any) -> None:
        """Write the index to a folder."""
        self.index.save(file)


def attach_index(
    dataset: Dataset, index: ImageIndex, name: str = "embedding", *, id_column: str = "image_id"
) -> Dataset:
    """Attach an index to a data set, which then finds its nearest examples.

        attach_index(dataset, index)
        scores, examples = dataset.get_nearest_examples("embedding", query, k=10)

    `datasets.add_faiss_index` builds a new index with the Euclidean distance, trains it on the first rows, and depends
    on the order of the rows. This function attaches an existing index, which scores by the inner product and finds rows
    by their ids. The data set can have another order, and images that are not in the index. faiss is not needed.

    Args:
        dataset: A data set with a column of ids.
        index: The index to search. After images were added to it, attach it again.
        name: Name of the index in the data set.
        id_column: Name of the column of ids.

    Returns:
        The same data set.

    Raises:
        ValueError: There is no such column, an id occurs twice in it, or an image of the index is not in the data set.
        TypeError: The ids are strings and those of the index are integers, or the reverse.
    """
    if id_column not in dataset.column_names:
        raise ValueError(f"expected a column of {', '.join(dataset.column_names)} with the ids; got {id_column!r}")
    positions = index.records.positions_of(dataset[id_column][:])
    is_indexed = positions >= 0
    rows = np.full(len(index.records), -1, dtype=np.int64)
    rows[positions[is_indexed]] = np.flatnonzero(is_indexed)
    if len(np.unique(positions[is_indexed])) != int(is_indexed.sum()):
        raise ValueError(f"expected each id once in the column {id_column}; some occur twice: remove these rows")
    absent = np.flatnonzero((rows < 0) & ~index.records.is_removed)
    if len(absent):
        some = ", ".join(map(str, index.records.ids_at(absent[:5]).tolist()))
        raise ValueError(
            f"{len(absent):,} images of the index are not in the data set, such as {some}: remove them from the index, "
            "or attach it to the data set that was embedded"
        )
    # `datasets` has no public method that attaches an index of another class.
    dataset._indexes[name] = AttachedIndex(index, rows)
    return dataset
