"""mAP and mP@k of rankings of ROxford5k with a million distractors: time against a direct transcription of the rules.

70 queries, 1,004,993 images, a ranking of int64 as `numpy.argsort` gives it: (images, queries), 563 MB, as the authors'
evaluator takes it; and (queries, images). `direct` follows the published rules step by step: a membership test over
the ranking for what is to be found, one for junk, at each of three levels, for each query. Both in one process, the
direct one with `numpy.isin` for the `numpy.in1d` that NumPy 2.4 no longer has.

Then from embeddings, with the million distractors in chunks, against a product and a sort of the whole.

Usage: python -m tests.benchmarks.evaluation.revisited [--distractors 1000000] [--repeats 3]
"""

import argparse
import functools
import statistics
import time

import numpy as np
import torch

from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth
from hf_vitret.evaluation.revisited.labelled_images import LEVELS
from hf_vitret.evaluation.revisited.metrics import revisited_metrics, revisited_metrics_of_ranking

from ..harness.figures import Figure, record

NUM_QUERIES, NUM_GALLERY, DIM = 70, 4_993, 128
KS = (1, 5, 10)
BAR = 20.0
SAME = 1e-12
CHUNK = 65_536


def ground_truth(seed: int = 0) -> RevisitedGroundTruth:
    """Draw sets of the sizes that occur: up to some hundreds of images a query."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for _ in range(NUM_QUERIES):
        rows, sizes = rng.permutation(NUM_GALLERY), rng.integers(5, 120, 3)
        for part, rows_of_part in zip(parts, np.split(rows[: sizes.sum()], sizes.cumsum()[:-1]), strict=True):
            part.append(rows_of_part)
    names = [f"query_{number}" for number in range(NUM_QUERIES)]
    gallery = [f"image_{number}" for number in range(NUM_GALLERY)]
    return RevisitedGroundTruth(names, gallery, [(0, 0, 1, 1)] * NUM_QUERIES, *parts)


def direct(ranking: np.ndarray, truth: RevisitedGroundTruth) -> dict[str, float]:
    """Apply the rules to `(num_images, num_queries)`, one after another."""
    metrics = {}
    for level, kinds in LEVELS.items():
        rows_of = []
        for query in range(ranking.shape[1]):
            to_find = np.concatenate([getattr(truth, kind)[query] for kind in kinds])
            others = [kind for kind in ("easy", "hard", "junk") if kind not in kinds]
            ignored = np.concatenate([getattr(truth, kind)[query] for kind in others])
            places = np.arange(len(ranking))[np.isin(ranking[:, query], to_find)]
            junk = np.arange(len(ranking))[np.isin(ranking[:, query], ignored)]
            ranks = [int(place) - int((junk < place).sum()) for place in places]
            precision = 0.0
            for found, rank in enumerate(ranks):
                before = 1.0 if rank == 0 else found / rank
                precision += (before + (found + 1) / (rank + 1)) / (2 * len(to_find))
            row = [precision]
            for k in KS:
                length = min(max(ranks) + 1, k)
                row.append(sum(rank < length for rank in ranks) / length)
            rows_of.append(row)
        means = np.mean(rows_of, axis=0)
        metrics |= {f"{level}_map": means[0]} | {f"{level}_precision_at_{k}": m for k, m in zip(KS, means[1:])}
    return metrics


def timed(way, repeats: int):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = way()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def of_rankings(truth: RevisitedGroundTruth, num_images: int, repeats: int) -> None:
    rng = np.random.default_rng(1)
    ranking = np.stack([rng.permutation(num_images) for _ in range(NUM_QUERIES)], axis=1)
    print(f"{NUM_QUERIES} queries x {num_images:,} images, ranking {ranking.nbytes / 1e6:.0f} MB\n")
    layouts = {"(images, queries)": (ranking, ranking, 1, BAR)}
    by_query = ranking.T.copy()
    layouts["(queries, images)"] = (by_query, by_query.T, 0, None)
    differences = []
    for name, (array, official, query_axis, bar) in layouts.items():
        (slow,), expected = timed(functools.partial(direct, official, truth), 1)
        ours = functools.partial(revisited_metrics_of_ranking, array, truth, query_axis=query_axis)
        seconds, metrics = timed(ours, repeats)
        fast, asked = statistics.median(seconds), "" if bar is None else f" (bar: {bar:g})"
        print(f"{name}: direct {slow:.2f} s, ours {fast:.3f} s: {slow / fast:.0f} times as fast{asked}")
        beside = {"peer": "direct transcription", "peer_value": slow, "ratio": slow / fast, "bar": bar}
        record(Figure.of_repeats(f"ranking {name}", seconds, "s", **beside, larger_is_better=True), seed=0)
        differences += [abs(metrics[key] - value) for key, value in expected.items()]
    print(f"largest difference {max(differences):.1e} (bar: {SAME:g})\n")
    record(Figure("largest difference to the direct transcription", float(max(differences)), bar=SAME), seed=0)


def of_embeddings(truth: RevisitedGroundTruth, num_distractors: int, repeats: int) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, gallery, distractors = (
        torch.nn.functional.normalize(torch.randn(size, DIM, generator=generator), dim=1)
        for size in (NUM_QUERIES, NUM_GALLERY, num_distractors)
    )

    def sorted_whole() -> np.ndarray:
        scores = torch.cat([gallery, distractors]) @ queries.T
        return scores.neg().argsort(dim=0).numpy()

    seconds, metrics = timed(
        lambda: revisited_metrics(queries, gallery, truth, distractors=distractors.split(CHUNK)), repeats
    )
    fast, ((slow,), order) = statistics.median(seconds), timed(sorted_whole, 1)
    from_order = revisited_metrics_of_ranking(order, truth, query_axis=1)
    difference = max(abs(metrics[key] - from_order[key]) for key in metrics)
    print(
        f"embeddings of {DIM} dimensions, in chunks of {CHUNK:,}: {fast:.2f} s; their product and argsort {slow:.2f} s"
    )
    print(f"largest difference, by ties: {difference:.1e}")
    beside = {"peer": "product and argsort of the whole", "peer_value": slow, "ratio": slow / fast}
    record(
        Figure.of_repeats("from embeddings", seconds, "s", **beside, larger_is_better=True),
        Figure("largest difference from embeddings, by ties", float(difference)),
        seed=0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distractors", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(2)
    truth = ground_truth()
    of_rankings(truth, NUM_GALLERY + options.distractors, options.repeats)
    of_embeddings(truth, options.distractors, options.repeats)


if __name__ == "__main__":
    main()
