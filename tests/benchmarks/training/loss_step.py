"""Time and memory of one step against a full cross-batch memory: bare products, ours, and the other ways.

Run from the project root: ``python -m tests.benchmarks.training.loss_step [--threads 2] [--repeats 21]``.

Batch 64, memory 59,551 x 384 (the paper's for Stanford Online Products), float32, forward and backward. The
bare products are the two no implementation can do without, ``64x384 @ 384x59551`` and
``64x59551 @ 59551x384``, written whole, as one would, and in chunks; the units are the whole ones and the fastest of
them. Times are medians, and bests, of alternated repeats in one process: of the clock, or with one thread of the
processor, which neighbours disturb less. Extra memory is the peak resident size (``VmHWM``) of a fresh process after
one step, less its size before, on Linux.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss as PairwiseContrastiveLoss
from pytorch_metric_learning.losses import CrossBatchMemory as PairwiseCrossBatchMemory
from pytorch_metric_learning.reducers import SumReducer
from torch import Tensor

from hf_vitret.losses import ContrastiveLoss

from ..harness.figures import Figure, record
from ..harness.resident import reset_peak, resident

BATCH, MEMORY, DIM, CLASSES = 64, 59_551, 384, 11_318
MARGIN = 0.5
OURS = "ContrastiveLoss"
Step = Callable[[], object]


def steps() -> dict[str, Step]:
    """Return what is compared, on the same anchors and memory; the last rows of the memory are the batch."""
    generator = torch.Generator().manual_seed(0)
    memory = torch.empty(MEMORY, DIM).normal_(generator=generator)  # (memory, dim)
    memory.div_(memory.norm(dim=1, keepdim=True))
    memory_labels = torch.randint(CLASSES, (MEMORY,), generator=generator)  # (memory,)
    memory_labels[-BATCH:] = memory_labels[:16].repeat_interleave(4)
    own = torch.arange(MEMORY - BATCH, MEMORY)  # (batch,)
    anchors, labels = memory[own].clone().requires_grad_(), memory_labels[own]  # (batch, dim), (batch,)

    ours = ContrastiveLoss(MARGIN)
    peer = PairwiseCrossBatchMemory(
        PairwiseContrastiveLoss(pos_margin=1.0, neg_margin=MARGIN, distance=CosineSimilarity(), reducer=SumReducer()),
        embedding_size=DIM,
        memory_size=MEMORY,
    )
    peer.embedding_memory, peer.label_memory, peer.has_been_filled = memory, memory_labels, True
    peer.queue_idx = MEMORY - BATCH

    def masked() -> Tensor:
        similarities = anchors @ memory.t()  # (batch, memory)
        positive = labels[:, None] == memory_labels  # (batch, memory) bool
        terms = torch.where(positive, 1 - similarities, (similarities - MARGIN).relu())  # (batch, memory)
        return terms.masked_fill(own[:, None] == torch.arange(MEMORY), 0.0).sum() / BATCH

    def bare(chunk: int) -> Tensor:
        values, grad = anchors.detach(), torch.zeros(BATCH, DIM)
        buffer = torch.empty(BATCH * chunk)
        for rows in memory.split(chunk):
            similarities = buffer[: BATCH * len(rows)].view(BATCH, len(rows))
            torch.mm(values, rows.t(), out=similarities)
            grad.addmm_(similarities, rows)
        return grad

    def trained(loss: Callable[[], Tensor]) -> Step:
        def step() -> float:
            anchors.grad = None
            value = loss()
            value.backward()
            return value.item()

        return step

    def peer_loss() -> Tensor:
        peer.queue_idx = MEMORY - BATCH
        loss: Tensor = peer(anchors, labels) / BATCH
        return loss

    return {
        "bare products, whole": lambda: (anchors.detach() @ memory.t()) @ memory,
        "bare products, 16,384 rows": lambda: bare(16_384),
        "bare products, 2,048 rows": lambda: bare(2_048),
        OURS: trained(lambda: ours(anchors, labels, memory, memory_labels, self_index=own)),
        "masked matrix": trained(masked),
        "pytorch-metric-learning": trained(peer_loss),
    }


def measure_memory(name: str, threads: int, queue: multiprocessing.Queue[float]) -> None:
    """Put how far one step raises the resident size of this process, in MB."""
    torch.set_num_threads(threads)
    step = steps()[name]
    small = torch.randn(BATCH, DIM, requires_grad=True)
    (small @ small.t()).sum().backward()  # thread pools and library workspaces
    reset_peak()
    before = resident()
    step()
    queue.put((resident("VmHWM") - before) / 1e6)


def extra_memory(name: str, threads: int) -> float:
    """Measure the memory of one step in a fresh process, in MB."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure_memory, args=(name, threads, queue))
    process.start()
    value: float = queue.get(timeout=300)
    process.join()
    return value


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=21)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    compared = steps()
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for repeat in range(args.repeats + 1):
        for name, step in compared.items():
            start = clock()
            step()
            if repeat > 0:  # the first round warms up
                seconds[name].append(clock() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    unit = min(value for name, value in medians.items() if name.startswith("bare"))
    whole = medians["bare products, whole"]
    print(f"batch {BATCH}, memory {MEMORY:,} x {DIM}, float32, forward and backward, {args.threads} threads")
    print(f"{'':28}{'median ms':>10}{'/ whole':>9}{'/ fastest':>11}{'best ms':>10}{'extra MB':>10}")
    memory = {}
    for name, value in medians.items():
        best, memory[name] = min(seconds[name]), extra_memory(name, args.threads)
        row = f"{name:28}{value * 1e3:10.1f}{value / whole:9.2f}{value / unit:11.2f}{best * 1e3:10.1f}"
        print(f"{row}{memory[name]:10.1f}")
    times = [1e3 * value for value in seconds[OURS]]
    for name, value in medians.items():
        if name != OURS:
            beside = {"peer": name, "peer_value": 1e3 * value, "ratio": medians[OURS] / value}
            record(
                Figure.of_repeats("contrastive step", times, "ms", **beside),
                Figure("extra memory", memory[OURS], "MB", peer=name, peer_value=memory[name]),
                seed=0,
            )


if __name__ == "__main__":
    main()
