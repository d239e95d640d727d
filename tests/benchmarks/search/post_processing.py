"""Post-processing of neighbour lists at a million images: time and memory of each method.

1,000,000 unit vectors of 128 dimensions in clusters of 1,000, 300 queries. The queries are searched in the whole
gallery. The gallery's own lists are searched within clusters alone, where nearly all neighbours are: the search of a
million in a million takes half an hour on two cores and is not what is measured. The functions take lists
from elsewhere.

Diffusion costs what its walks reach. `diffusion, clusters` walks on those lists: not beyond a cluster. For `diffusion,
one graph` every item's last neighbour is a random one: the walk reaches all items, which is the worst that can come,
and the queries are fewer (`--walks`).

    python -m tests.benchmarks.search.post_processing [--gallery 1000000] [--queries 300] [--walks 32]

Every case runs in a process of its own. Its memory is the peak of the resident set during the call (VmHWM, reset just
before it: Linux only) less the resident set at its start: embeddings and lists do not count, results do. Two threads.
"""

import argparse
import multiprocessing
import tempfile
import time

import torch

from hf_vitret.search.neighbors import nearest_neighbors
from hf_vitret.search.reranking.diffusion import Diffusion
from hf_vitret.search.reranking.query_expansion import augment_database, expand_queries
from hf_vitret.search.reranking.reciprocal_reranking import rerank_reciprocal

from ..harness.figures import Figure, record
from ..harness.resident import MIB, reset_peak, resident

DIM, CLUSTER, K = 128, 1_000, 50
EXPANSION, AUGMENTATION, RERANKED = 50, 10, 100
NOISE = 0.8  # of an item against its cluster's centre: nine in ten of two items of a cluster score 0.54 to 0.68


def clustered(num_gallery: int, num_queries: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gallery, cluster by cluster, and queries, each of a cluster of its own where there are enough."""
    generator = torch.Generator().manual_seed(0)
    num_clusters = num_gallery // CLUSTER
    centres = torch.randn(num_clusters, DIM, generator=generator)
    gallery = NOISE * torch.randn(num_gallery, DIM, generator=generator)
    gallery += centres.repeat_interleave(CLUSTER, dim=0)
    places = torch.randperm(num_clusters, generator=generator).repeat(num_queries // num_clusters + 1)[:num_queries]
    queries = centres[places] + NOISE * torch.randn(num_queries, DIM, generator=generator)
    normalize = torch.nn.functional.normalize
    return normalize(gallery, dim=1), normalize(queries, dim=1)


def lists_within_clusters(gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.empty(len(gallery), K)
    indices = torch.empty(len(gallery), K, dtype=torch.int64)
    for start in range(0, len(gallery), CLUSTER):
        rows = gallery[start : start + CLUSTER]
        own = (rows @ rows.T).fill_diagonal_(-torch.inf).topk(K, dim=1)
        scores[start : start + CLUSTER], indices[start : start + CLUSTER] = own.values, own.indices + start
    return scores, indices


def joined(scores: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Make each item of one half and a random one of the other each other's last neighbour, by half of its score."""
    half = len(indices) // 2
    first = torch.arange(half)
    second = half + torch.randperm(half, generator=torch.Generator().manual_seed(1))
    scores, indices = scores.clone(), indices.clone()
    indices[first, -1], indices[second, -1] = second, first
    scores[:, -1] /= 2
    return scores, indices


def expansion(gallery, queries, found, graph) -> str:
    scores, indices = (part[:, :EXPANSION] for part in found)
    expand_queries(queries, gallery, scores, indices)
    return ""


def augmentation(gallery, queries, found, graph) -> str:
    augment_database(gallery, *(part[:, :AUGMENTATION] for part in graph))
    return ""


def reranking(gallery, queries, found, graph) -> str:
    rerank_reciprocal(queries, gallery, *found, *graph)
    return ""


def diffusion(gallery, queries, found, graph) -> str:
    start = time.perf_counter()
    walk = Diffusion(gallery, *graph)
    built = time.perf_counter() - start
    walk.rank(queries, *(part[:, :10] for part in found), k=RERANKED)
    return f"{built:.1f} s of it for the graph, once a gallery"


def measure(run, path: str, num_queries: int, is_joined: bool, results) -> None:
    torch.set_num_threads(2)
    gallery, queries, found, graph = torch.load(path)
    queries, found = queries[:num_queries], [part[:num_queries] for part in found]
    if is_joined:
        graph = joined(*graph)
    some = torch.arange(CLUSTER).unsqueeze(1)
    small = [part[:CLUSTER, :K] for part in graph]
    small[1] = (some + 1 + torch.arange(K)) % CLUSTER
    run(gallery[:CLUSTER], gallery[:9], [part[:9] for part in small], small)  # thread pools are not of interest
    before = resident()
    reset_peak()
    start = time.perf_counter()
    remark = run(gallery, queries, found, graph)
    results.put((time.perf_counter() - start, (resident("VmHWM") - before) / MIB, remark))


def in_a_process(*case) -> tuple[float, float, str]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(*case, results))
    process.start()
    while process.is_alive() and results.empty():
        process.join(0.2)
    if results.empty():
        raise RuntimeError(f"{case[0].__name__} ended with exit code {process.exitcode}")
    result = results.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=int, default=1_000_000, help=f"a multiple of {2 * CLUSTER:,}")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--walks", type=int, default=32, help="queries where a walk reaches all of the gallery")
    options = parser.parse_args()
    torch.set_num_threads(2)
    cases = [
        (f"expand_queries, k {EXPANSION}", expansion, options.queries, False),
        (f"augment_database, k {AUGMENTATION}", augmentation, options.queries, False),
        (f"rerank_reciprocal, k {RERANKED}", reranking, options.queries, False),
        (f"diffusion, clusters, k {K}", diffusion, options.queries, False),
        (f"diffusion, one graph, k {K}", diffusion, options.walks, True),
    ]
    start = time.perf_counter()
    gallery, queries = clustered(options.gallery, options.queries)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/lists.pt"
        graph = lists_within_clusters(gallery)
        torch.save((gallery, queries, nearest_neighbors(queries, gallery, RERANKED), graph), path)
        inputs = sum(part.nbytes for part in (gallery, queries, *graph)) / 2**20
        del gallery, graph
        print(
            f"gallery {options.gallery:,} x {DIM}, lists of {K}: {inputs:,.0f} MiB, made in "
            f"{time.perf_counter() - start:.0f} s; 2 threads\n"
        )
        print(f"{'':30}{'queries':>8}{'seconds':>9}{'MiB more':>10}", flush=True)
        for name, run, num_queries, is_joined in cases:
            seconds, memory, remark = in_a_process(run, path, num_queries, is_joined)
            print(f"{name:30}{num_queries:8}{seconds:9.2f}{memory:10.0f}  {remark}", flush=True)
            case = f"{name}, {num_queries} queries"
            record(Figure(case, seconds, "s"), Figure(f"{case}, memory", memory, "MiB"), seed=0)


if __name__ == "__main__":
    main()
