"""`fill_index`: train, fill and measure an index in two passes over blocks of embeddings, one in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from ..backends.array_inputs import Block
from ..backends.backend import new_backend
from ..backends.vector_backend import VectorBackend
from ..image_records import ID_COLUMN, ImageRecords, check_unique, ids_column
from .index_choice import DEFAULT_QUERIES
from .index_quality import HeldOutQueries, IndexQuality, measure, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...embedding.shards import EmbeddingFolder
    from .index_choice import IndexChoice


def blocks_of_folder(source: EmbeddingFolder) -> Iterator[Block]:
    """Yield the images of a folder of embeddings in blocks of a few thousand."""
    for shard in source.shards():
        table = shard.table
        column = table.column_names.index(ID_COLUMN)
        ids = ids_column(table[ID_COLUMN])
        yield Block(np.ascontiguousarray(shard.embeddings), table.set_column(column, ID_COLUMN, ids))


def slices(block: Block, rows: int = 16_384) -> Iterator[Block]:
    """Yield a block in smaller blocks."""
    for start in range(0, len(block.embeddings), rows):
        yield Block(block.embeddings[start : start + rows], block.table.slice(start, rows))


def fill_index(
    blocks: Callable[[], Iterator[Block]],
    dim: int,
    choice: IndexChoice,
    *,
    backend: str | None = None,
    num_queries: int = DEFAULT_QUERIES,
    seed: int = 0,
    progress: bool = True,
) -> tuple[VectorBackend, ImageRecords, IndexQuality]:
    """Train, fill and measure an index.

    Args:
        blocks: Function that returns all images in order each time it is called. It is called twice.
        dim: Length of a vector.
        choice: The index to build.
        backend: `"faiss"` or `"torch"`. None: faiss if it is installed.
        num_queries: Number of images that are drawn at random as queries, at most a quarter of all. The search is tuned
            on one half of them and measured on the other.
        seed: Seed of this draw and of the training.
        progress: Whether to show progress bars.

    Returns:
        The backend with the vectors, the table of images, and the measurements.

    Raises:
        ValueError: An id occurs twice, or the second pass has another number of images.
    """
    import pyarrow as pa

    total = choice.num_vectors
    made = new_backend(choice.chosen, dim, name=backend, seed=seed, num_expected=total)
    positions, is_query = _draw(total, min(num_queries, max(1, total // 4)), choice.chosen.num_training, seed)
    sample = _collect(blocks, positions, dim, total, progress)
    if choice.chosen.num_training:
        made.train(np.ascontiguousarray(sample[~is_query] if (~is_query).any() else sample))
    # In random order, so that each half is a random sample.
    order = np.random.default_rng(seed).permutation(int(is_query.sum()))
    queries = HeldOutQueries(np.ascontiguousarray(sample[is_query][order]), positions[is_query][order])
    del sample
    tables, filled = [], 0
    with tqdm(total=total, desc="Indexing", unit="img", disable=not progress, leave=False) as bar:
        for block in blocks():
            queries.compare(block.embeddings, filled)
            made.add(block.embeddings)
            tables.append(block.table)
            filled += len(block.embeddings)
            bar.update(len(block.embeddings))
    if filled != total:
        raise ValueError(_changed(total, filled))
    table = pa.concat_tables(tables).combine_chunks()
    check_unique(table["image_id"])
    half = len(order) // 2
    settings = tune(made, queries, slice(0, half) if half else slice(None), choice.target_recall)
    return made, ImageRecords(table), measure(made, queries, slice(half, None), settings)


def _changed(expected: int, received: int) -> str:
    return f"expected {expected:,} images in each pass; got {received:,}: wait until nothing writes to the embeddings"


def _draw(total: int, num_queries: int, num_training: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions, ascending, and return which of them are queries; the others are for training."""
    size = min(total, num_queries + num_training)
    drawn = np.random.default_rng(seed).choice(total, size, replace=False)
    order = drawn.argsort()
    return drawn[order].astype(np.int64), (np.arange(size) < num_queries)[order]


def _collect(
    blocks: Callable[[], Iterator[Block]], positions: np.ndarray, dim: int, total: int, progress: bool
) -> np.ndarray:
    """Read the embeddings at some positions, which are ascending: `(num_positions, dim)` float32."""
    sample = np.empty((len(positions), dim), dtype=np.float32)
    first = 0
    with tqdm(total=total, desc="Sampling", unit="img", disable=not progress, leave=False) as bar:
        for block in blocks():
            stop = first + len(block.embeddings)
            low, high = np.searchsorted(positions, (first, stop))
            sample[low:high] = block.embeddings[positions[low:high] - first]
            first = stop
            bar.update(len(block.embeddings))
    if first != total:
        raise ValueError(_changed(total, first))
    return sample
