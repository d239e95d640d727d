"""Time and memory of retrieval metrics against one bare matrix product and against other libraries.

`ours_recall` is R@1, 10, 100 and 1000 alone, `ours` these with MAP@R and R-precision. The product is made in chunks of
2,048 rows: each into memory of its own, as one would write it (`bare_product`, which the bars are about), and all into
the same memory, which is the least that it can take.

    python -m tests.benchmarks.evaluation.evaluation [--full] [--rivals]

Every case runs in a process of its own. Its memory is the peak of the resident set during the call (VmHWM, reset
just before it: Linux only) less the resident set at its start. Times are medians of alternated repeats; read the
ratios, and on a quiet machine: many short steps suffer more from other processes than one long product does.
"""

import argparse
import importlib.util
import multiprocessing
import statistics
import time

import torch

from ..harness.figures import Figure, record
from ..harness.resident import MIB, reset_peak, resident

DIM = 384
SOP_SIZE, SOP_CLASSES = 60_502, 11_316
# Strength of the class against unit noise of the image: R@1 about 1 (separated) and 0.01 (untrained).
SPREADS = {"separated": 3.0, "untrained": 0.3}


def unit_embeddings(distribution: str, num_items: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat(
        [
            torch.arange(num_classes).repeat(2),
            torch.randint(0, num_classes, (num_items - 2 * num_classes,), generator=generator),
        ]
    )[torch.randperm(num_items, generator=generator)]
    embeddings = torch.randn(num_items, DIM, generator=generator)
    embeddings += SPREADS[distribution] * torch.randn(num_classes, DIM, generator=generator)[labels]
    if distribution == "untrained":
        embeddings += torch.randn(DIM, generator=generator)  # one direction that all images share
    return torch.nn.functional.normalize(embeddings, dim=1), labels


def bare_product(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    for rows in embeddings.split(2_048):
        rows @ embeddings.T


def product_in_place(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    scores = torch.empty(2_048, len(embeddings))
    for rows in embeddings.split(2_048):
        torch.mm(rows, embeddings.T, out=scores[: len(rows)])


def ours_recall(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    from hf_vitret.evaluation import retrieval_metrics

    retrieval_metrics(embeddings, labels, metrics=["recall_at_k"])


def ours(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    from hf_vitret.evaluation import retrieval_metrics

    retrieval_metrics(embeddings, labels)


def ours_search(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    from hf_vitret.search import nearest_neighbors

    nearest_neighbors(embeddings, embeddings, 1_001)


def faiss_flat(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(embeddings.numpy())
    index.search(embeddings.numpy(), 1_001)


def pytorch_metric_learning(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    AccuracyCalculator(include=("precision_at_1",), k=1_000).get_accuracy(embeddings, labels)


def sentence_transformers(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    from sentence_transformers.util import dot_score, semantic_search

    semantic_search(embeddings, embeddings, top_k=1_001, score_function=dot_score)


def measure(run, warm_up, distribution, num_items, num_classes, results) -> None:
    torch.set_num_threads(2)
    embeddings, labels = unit_embeddings(distribution, num_items, num_classes)
    run(*unit_embeddings(distribution, warm_up, warm_up // 5))  # imports and thread pools are not of interest
    before = resident()
    reset_peak()
    start = time.perf_counter()
    run(embeddings, labels)
    seconds = time.perf_counter() - start
    results.put((seconds, (resident("VmHWM") - before) / MIB))


def in_a_process(run, *case) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(run, 1_500, *case, results))
    process.start()
    result = results.get()
    process.join()
    return result


def table(runs, distribution: str, num_items: int, num_classes: int, repeats: int) -> None:
    measured = {run: [] for run in runs}
    for _ in range(repeats):
        for run in runs:
            measured[run].append(in_a_process(run, distribution, num_items, num_classes))
    product = statistics.median(seconds for seconds, _ in measured[bare_product])
    print(f"\n{num_items:,} x {DIM}, {num_classes:,} classes, {distribution}; median of {repeats}, 2 threads")
    print(f"{'':26}{'seconds':>9}{'/ product':>11}{'MiB more':>10}")
    for run, results in measured.items():
        seconds = statistics.median(seconds for seconds, _ in results)
        memory = max(memory for _, memory in results)
        print(f"{run.__name__:26}{seconds:9.2f}{seconds / product:11.2f}{memory:10.0f}", flush=True)
    for run, results in measured.items():
        if not run.__name__.startswith("ours"):
            continue
        for peer, theirs in measured.items():
            if not peer.__name__.startswith("ours"):
                record(*beside(f"{run.__name__}, {distribution}", results, peer.__name__, theirs), seed=0)


def beside(name: str, ours: list[tuple[float, float]], peer: str, theirs: list[tuple[float, float]]) -> list[Figure]:
    """Compare seconds and MiB of repeats with a peer's."""
    times, memory = zip(*ours)
    their_times, their_memory = zip(*theirs)
    unit = statistics.median(their_times)
    ratio = statistics.median(times) / unit
    return [
        Figure.of_repeats(name, times, "s", peer=peer, peer_value=unit, ratio=ratio),
        Figure(f"{name}, most memory", max(memory), "MiB", peer=peer, peer_value=max(their_memory)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the size of Stanford Online Products; else 20,000 items")
    parser.add_argument("--large-classes", action="store_true", help="60 classes")
    parser.add_argument("--rivals", action="store_true", help="other libraries")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    size = SOP_SIZE if args.full else 20_000
    num_classes = 60 if args.large_classes else size * SOP_CLASSES // SOP_SIZE
    runs = [bare_product, product_in_place, ours_recall, ours]
    if args.rivals:
        rivals = [faiss_flat, pytorch_metric_learning, sentence_transformers]
        modules = {faiss_flat: "faiss"}
        found = [run for run in rivals if importlib.util.find_spec(modules.get(run, run.__name__))]
        for run in set(rivals) - set(found):
            print(f"{modules.get(run, run.__name__)} is not installed: left out")
        table([*runs, ours_search, *found], "separated", size, num_classes, 1)
        return
    for distribution in SPREADS:
        table(runs, distribution, size, num_classes, args.repeats)


if __name__ == "__main__":
    main()
