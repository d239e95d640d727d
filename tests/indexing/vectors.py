"""Small sets of vectors, folders of them, and the plain way to search them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_vitret.embedding.manifest import EmbeddingManifest, ShardFacts
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.files.checksums import sha256_of

MODEL = ModelIdentity("user/model", "a" * 40, "1" * 64, "2" * 64, "3" * 64)


def unit_rows(num_rows: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def brute_force(queries, rows, k, allowed=None):
    """Sort all scores in float64; rows that are not allowed are not there."""
    scores = queries.astype(np.float64) @ rows.astype(np.float64).T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    order = np.where(best == -np.inf, -1, order)
    padding = ((0, 0), (0, k - order.shape[1]))
    return np.pad(best, padding, constant_values=-np.inf), np.pad(order, padding, constant_values=-1)


def write_folder(folder: Path, rows: np.ndarray, ids, columns=None, *, model=MODEL, num_shards=3) -> Path:
    """Write a folder of embeddings as it is specified, by pyarrow alone."""
    folder.mkdir(parents=True)
    shards = []
    for number, rows_here in enumerate(np.array_split(np.arange(len(rows)), num_shards)):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[rows_here].ravel()), rows.shape[1])
        table = pa.table(
            {
                "image_id": [str(ids[row]) for row in rows_here],
                "path": [f"{ids[row]}.png" for row in rows_here],
                "embedding": vectors,
                **{name: [values[row] for row in rows_here] for name, values in (columns or {}).items()},
            }
        )
        path = folder / f"embeddings-{number:05d}.parquet"
        pq.write_table(table, path, row_group_size=40)
        shards.append(ShardFacts(path.name, len(rows_here), sha256_of(path), f"shard {number}"))
    EmbeddingManifest(
        model, rows.shape[1], "float32", None, True, len(rows), 0, tuple(shards), tuple(columns or ())
    ).save(folder)
    return folder
