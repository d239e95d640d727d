"""Exact search of a million vectors against faiss and the bare product: time, and whether faiss finds the same.

10,000 queries, 1,000,000 vectors of 128 dimensions, the best 100 of each; two threads; in turn, in one process. Both
compute in float32, so that two items whose scores differ by less than its rounding may stand in either order: those
are counted, and compared by their exact scores.

Usage: python -m tests.benchmarks.search.search [--queries 10000] [--gallery 1000000] [--repeats 2]
"""

import argparse
import statistics
import time

import torch

from hf_vitret import nearest_neighbors

from ..harness.figures import Figure, record

DIM, K = 128, 100
BAR = 1.5
ROWS, COLUMNS = 1_024, 2_048
SAME = 1e-6  # cosines nearer than this are the same to a float32 product


def unit_rows(num_rows: int, seed: int) -> torch.Tensor:
    rows = torch.randn(num_rows, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def count_different(queries: torch.Tensor, gallery: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> int:
    """Count the places where two searches found items of different exact scores."""
    row, place = (ours != theirs).nonzero().unbind(dim=1)
    scores = [
        (queries[row].double() * gallery[found[row, place]].double()).sum(dim=1) for found in (ours, theirs)
    ]  # (num_places,) each
    return int(((scores[0] - scores[1]).abs() > SAME).sum())


def multiply(queries: torch.Tensor, gallery: torch.Tensor) -> None:
    """Multiply all pairs, in tiles as large as those of the search, and keep nothing."""
    tile = torch.empty(ROWS * COLUMNS)
    for rows in queries.split(ROWS):
        for columns in gallery.split(COLUMNS):
            out = tile[: len(rows) * len(columns)].view(len(rows), len(columns))
            torch.mm(rows, columns.T, out=out)


def main() -> None:
    import faiss

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--gallery", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(2)
    faiss.omp_set_num_threads(2)
    queries, gallery = unit_rows(options.queries, 1), unit_rows(options.gallery, 0)
    index = faiss.IndexFlatIP(DIM)
    index.add(gallery.numpy())
    ways = {
        "nearest_neighbors": lambda: nearest_neighbors(queries, gallery, K)[1],
        "faiss.IndexFlatIP": lambda: torch.from_numpy(index.search(queries.numpy(), K)[1]),
        "bare product": lambda: multiply(queries, gallery),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - start)
    medians = [statistics.median(times) for times in seconds.values()]
    print(
        f"{options.queries:,} queries x {options.gallery:,} x {DIM}, top {K}; 2 threads; medians of {options.repeats}\n"
    )
    for name, median in zip(ways, medians, strict=True):
        print(f"{name:20}{median:8.2f} s")
    print(
        f"ours to faiss: {medians[0] / medians[1]:.2f} (bar: at most {BAR}); to the product: "
        f"{medians[0] / medians[2]:.2f}"
    )
    num_swapped = int((found["nearest_neighbors"] != found["faiss.IndexFlatIP"]).sum())
    num_different = count_different(queries, gallery, found["nearest_neighbors"], found["faiss.IndexFlatIP"])
    print(
        f"ids: {num_swapped:,} of {options.queries * K:,} differ, of which {num_different} by more than {SAME:g} in "
        "their exact scores (bar: none)"
    )
    ratio, times = medians[0] / medians[1], seconds["nearest_neighbors"]
    beside = {"peer": "faiss.IndexFlatIP", "peer_value": medians[1], "ratio": ratio, "bar": BAR}
    record(
        Figure.of_repeats(f"best {K} of {options.gallery:,}, {options.queries:,} queries", times, "s", **beside),
        Figure.of_repeats(
            "the same, to the bare product",
            times,
            "s",
            peer="bare product",
            peer_value=medians[2],
            ratio=medians[0] / medians[2],
        ),
        Figure("ids of other scores", num_different, f"of {options.queries * K:,}", bar=0),
        seed=0,
    )


if __name__ == "__main__":
    main()
