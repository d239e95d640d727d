"""`check_folder_ids`: check that ids in a folder of embeddings are unique, because an engine keeps one image per id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...embedding.shards import ID_COLUMN

if TYPE_CHECKING:
    from ...embedding.shards import EmbeddingFolder


def check_folder_ids(folder: EmbeddingFolder) -> None:
    """Read a folder once, and check that no id occurs twice, with 8 bytes per image in memory.

    Raises:
        FileNotFoundError: A shard is missing.
        ValueError: An id occurs twice (the message names some), or a shard has changed.
    """
    hashes, first = np.empty(folder.num_images, dtype=np.uint64), 0
    for shard in folder.shards():
        hashes[first : first + len(shard.embeddings)] = _hashed(shard.ids)
        first += len(shard.embeddings)
    hashes = hashes[:first]
    hashes.sort()
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(suspects):
        return
    # Different ids can have the same hash, so the ids with equal hashes are compared.
    counts: dict[str, int] = {}
    for shard in folder.shards():
        for row in np.flatnonzero(np.isin(_hashed(shard.ids), suspects)):
            image_id = shard.table[ID_COLUMN][int(row)].as_py()
            counts[image_id] = counts.get(image_id, 0) + 1
    twice = [image_id for image_id, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"expected each id once in {folder.folder}; more than once came {', '.join(twice[:5])}: an engine keeps "
            "one image per id. Embed again with unique ids, such as the paths"
        )


def _hashed(ids: list[str]) -> np.ndarray:
    """Return a 64-bit hash of each id, which is the same in every process."""
    import pandas as pd

    hashes: np.ndarray = pd.util.hash_array(np.array(ids, dtype=object), categorize=False)
    return hashes
