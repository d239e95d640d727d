"""An index of a million vectors: memory and time of its building, what it finds, and what its search adds to faiss's.

1,000,000 unit vectors of 128 dimensions in 20,000 clusters, on the disk as `hf-vitret embed` leaves them; the index
that is chosen for them, and the one of codes. Each is built in a process of its own, whose largest resident size
(VmHWM; Linux only) counts the interpreter, torch and faiss too. Queries are 1,000 more vectors of the same clusters:
recall@10 is against exact search.

Latency: a search of `ImageIndex`, to ids, and of the faiss index inside it, to positions, by faiss's own Python
`index.search`, as its users call it. `ImageIndex` checks queries itself, and enters faiss below the checks of that
function; a third way, its backend to positions, takes the same entry, and is what ids and checks cost beside. The ways
take turns, search by search, each at another place in the queries: one who asks what was asked a moment ago finds the
vectors in the processor's caches, which is no search that a user makes.

Usage: python -m tests.benchmarks.search.index_build [--vectors 1000000] [--kinds auto ivfpq] [--threads 2]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ..harness.figures import Figure, record
from ..harness.resident import resident

DIM, K = 128, 10
PER_SHARD, PER_CLUSTER, SPREAD = 50_000, 50, 0.9
NUM_QUERIES, BATCH, ROUNDS = 1_000, 100, 5
MOST_MEMORY, LEAST_RECALL, MOST_LATENCY = 2e9, 0.95, 1.1


def clustered(num_rows: int, num_clusters: int, part: int) -> np.ndarray:
    """Draw unit vectors around the centres: near ones of a cluster have a cosine of about 0.55."""
    centres = np.random.default_rng(0).standard_normal((num_clusters, DIM), dtype=np.float32)
    rng = np.random.default_rng((1, part))
    rows = centres[rng.integers(0, num_clusters, num_rows)]
    rows += SPREAD * rng.standard_normal((num_rows, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_vectors(folder: Path, num_vectors: int, num_clusters: int) -> None:
    """Write a folder of embeddings, one shard after another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hf_vitret.embedding.manifest import EmbeddingManifest, ShardFacts
    from hf_vitret.embedding.model_identity import ModelIdentity
    from hf_vitret.files.checksums import sha256_of

    folder.mkdir()
    shards = []
    for part, first in enumerate(range(0, num_vectors, PER_SHARD)):
        rows = clustered(min(PER_SHARD, num_vectors - first), num_clusters, part)
        ids = [f"images/{first + row:08d}.jpg" for row in range(len(rows))]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIM)
        path = folder / f"embeddings-{part:05d}.parquet"
        table = pa.table({"image_id": ids, "path": ids, "embedding": vectors})
        pq.write_table(table, path, row_group_size=4_096, compression="none")
        shards.append(ShardFacts(path.name, len(rows), sha256_of(path), f"part {part}"))
    model = ModelIdentity("synthetic", None, "0", "0", "0")
    EmbeddingManifest(model, DIM, "float32", None, True, num_vectors, 0, tuple(shards), ()).save(folder)


def exact_ids(source: Path, queries: np.ndarray) -> np.ndarray:
    """Find the ids of the exact neighbours, shard by shard."""
    import torch

    from hf_vitret.embedding.shards import EmbeddingFolder
    from hf_vitret.search.neighbors import merge_neighbors, nearest_neighbors

    asked, found, first, ids = torch.from_numpy(queries), [], 0, []
    for shard in EmbeddingFolder(source).shards():
        scores, rows = nearest_neighbors(asked, torch.from_numpy(shard.embeddings), K)
        found.append((scores, rows + first))
        first += len(shard.embeddings)
        ids += shard.ids
    return np.array(ids, dtype=object)[merge_neighbors(found, K)[1].numpy()]


def take_turns(index, queries: np.ndarray, batch: int) -> tuple[list[float], ...]:
    """Return quartiles of the seconds of a search of so many queries: ours, faiss's own, and by our entry to faiss."""
    ways = (index.search, index.backend.index.search, index.backend.search)
    parts = [queries[first : first + batch].copy() for first in range(0, len(queries) - batch + 1, batch)]
    seconds: tuple[list[float], ...] = [], [], []
    for turn in range(ROUNDS):
        for place in range(len(parts)):
            for step in range(len(ways)):
                way = (turn + place + step) % len(ways)
                asked = parts[(place + way * len(parts) // len(ways)) % len(parts)]
                start = time.perf_counter()
                ways[way](asked, K)
                seconds[way].append(time.perf_counter() - start)
    return tuple(statistics.quantiles(each, n=4) for each in seconds)


def build(source: Path, target: Path, kind: str, num_threads: int) -> dict[str, object]:
    """Build, save, and measure, in the process that calls this."""
    import faiss
    import torch

    from hf_vitret.indexing.image_index import ImageIndex

    torch.set_num_threads(num_threads)
    faiss.omp_set_num_threads(num_threads)
    start = time.perf_counter()
    index = ImageIndex.build_from(source, kind=None if kind == "auto" else kind, progress=False)
    built = time.perf_counter() - start
    index.save(target)
    found: dict[str, object] = {
        "table": index.choice.table() if index.choice else "",
        "factory": index.manifest.factory,
        "measured": index.manifest.quality.text(),
        "resident": resident("VmHWM"),
        "seconds": built,
        "bytes": sum(facts["num_bytes"] for facts in index.manifest.files.values()),
    }
    queries = np.load(source.parent / "queries.npy")
    wanted = np.load(source.parent / "exact.npy")
    ids = index.search(queries, K)[1].astype(wanted.dtype)
    found["recall"] = statistics.mean(
        len(np.intersect1d(ours, theirs)) / K for ours, theirs in zip(ids, wanted, strict=True)
    )
    found["latency"] = {batch: take_turns(index, queries, batch) for batch in (1, BATCH)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["auto", "ivfpq"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--build", nargs=3, metavar=("SOURCE", "TARGET", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        source, target, kind = options.build
        print(json.dumps(build(Path(source), Path(target), kind, options.threads)))
        return
    num_clusters = max(1, options.vectors // PER_CLUSTER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "embeddings"
        write_vectors(source, options.vectors, num_clusters)
        queries = clustered(NUM_QUERIES, num_clusters, -1 % 2**32)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "exact.npy", exact_ids(source, queries).astype("U32"))
        print(f"{options.vectors:,} x {DIM} in {num_clusters:,} clusters, {options.threads} threads\n")
        for kind in options.kinds:
            command = [sys.executable, "-m", "tests.benchmarks.search.index_build", "--threads", str(options.threads)]
            run = subprocess.run(
                [*command, "--build", str(source), str(folder / kind), kind], check=True, capture_output=True, text=True
            )
            found = json.loads(run.stdout)
            print(f"== {kind}: {found['factory']}\n{found['table']}\nof itself: {found['measured']}")
            print(f"built in {found['seconds']:.1f} s; {found['bytes'] / 1e6:,.0f} MB on the disk")
            print(f"largest resident size {found['resident'] / 1e9:.2f} GB (bar: under {MOST_MEMORY / 1e9:g})")
            print(f"recall@10 of {NUM_QUERIES:,} queries {found['recall']:.4f} (bar: at least {LEAST_RECALL})")
            record(
                Figure(f"{kind}: building", found["seconds"], "s"),
                Figure(f"{kind}: largest resident size", found["resident"] / 1e9, "GB", bar=MOST_MEMORY / 1e9),
                Figure(f"{kind}: recall@10", found["recall"], bar=LEAST_RECALL, larger_is_better=True),
                seed=0,
            )
            for batch, quartiles in found["latency"].items():
                (low, ours, high), (_, bare, _), (_, entry, _) = quartiles
                for peer, theirs, bar in (("faiss", bare, MOST_LATENCY), ("faiss by the same entry", entry, None)):
                    beside = {"peer": peer, "peer_value": 1e3 * theirs, "ratio": ours / theirs, "bar": bar}
                    times = {"low": 1e3 * low, "high": 1e3 * high, "spread": "quartiles"}
                    record(Figure(f"{kind}: {batch} at once", 1e3 * ours, "ms", **times, **beside), seed=0)
                print(
                    f"{batch:>4} at once: ImageIndex {1e3 * ours:.4f} ms, faiss {1e3 * bare:.4f} ms, ratio "
                    f"{ours / bare:.3f} (bar: at most {MOST_LATENCY}); by the same entry {1e3 * entry:.4f} ms, ratio "
                    f"{ours / entry:.3f}"
                )
            print(flush=True)


if __name__ == "__main__":
    main()
