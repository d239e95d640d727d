"""Two processes that score an evaluation set together against one alone, one thread each.

60,502 x 384 embeddings of 11,316 classes, leave-one-out: R@1, 10, 100 and 1000, MAP@R and R-precision, as
`RetrievalTrainer` computes them; the processes meet over gloo. In turn, and the metrics must be equal to the last bit.

Usage: python -m tests.benchmarks.evaluation.sharded_evaluation [--items 60502] [--repeats 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from datasets import Dataset

from hf_vitret import RetrievalEvaluator
from hf_vitret.training.distributed.sharded_evaluation import ShardedEmbeddings, Shares

from ..harness.figures import Figure, record
from .evaluation import SOP_CLASSES, SOP_SIZE, SPREADS, unit_embeddings

BAR = 1.7


def score(num_items: int, distribution: str, result: Path) -> None:
    """Score in this process, alone or as one of several; the main one writes seconds and metrics."""
    torch.set_num_threads(1)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    embeddings, labels = unit_embeddings(distribution, num_items, num_items * SOP_CLASSES // SOP_SIZE)
    names = [str(row) for row in range(num_items)]
    dataset = Dataset.from_dict({"image": names, "label": labels.tolist(), "image_id": names})
    evaluator = RetrievalEvaluator(dataset)
    share = embeddings[slice(*Shares(num_items, evaluator.batch_size, world).bounds(rank))]
    evaluator.query_labels  # noqa: B018 (read from the data set once, before the clock starts)
    if world > 1:
        dist.barrier()
    start = time.perf_counter()
    metrics = ShardedEmbeddings(evaluator, torch.device("cpu"), share, None).metrics()
    seconds = time.perf_counter() - start
    if rank == 0:
        result.write_text(json.dumps({"seconds": seconds, "metrics": metrics}))
    if dist.is_initialized():
        dist.destroy_process_group()


def run(num_processes: int, num_items: int, distribution: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m"]
        if num_processes > 1:
            command += ["torch.distributed.run", "--standalone", f"--nproc_per_node={num_processes}", "-m"]
        options = ["--items", str(num_items), "--distribution", distribution, "--result", str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            [*command, "tests.benchmarks.evaluation.sharded_evaluation", *options], env=environment, check=True
        )
        return json.loads(result.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=SOP_SIZE)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--distribution", choices=list(SPREADS), help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.result is not None:
        score(options.items, options.distribution, options.result)
        return
    print(f"{options.items:,} x 384; one thread a process; medians of {options.repeats}\n")
    for distribution in SPREADS:
        found = {1: [], 2: []}
        for _ in range(options.repeats):
            for num_processes in found:
                found[num_processes].append(run(num_processes, options.items, distribution))
        alone, together = ([each["seconds"] for each in results] for results in found.values())
        one, two = statistics.median(alone), statistics.median(together)
        different = {json.dumps(each["metrics"]) for results in found.values() for each in results}
        is_equal = len(different) == 1
        print(
            f"{distribution}: one process {one:.2f} s, two {two:.2f} s: {one / two:.2f} times as fast (bar: {BAR}); "
            f"metrics equal: {is_equal}",
            flush=True,
        )
        beside = {"peer": "one process", "peer_value": one, "ratio": one / two, "bar": BAR, "larger_is_better": True}
        record(
            Figure.of_repeats(f"two processes, {distribution}", together, "s", **beside),
            Figure(f"metrics that differ, {distribution}", len(different) - 1, "results", bar=0),
            seed=0,
        )


if __name__ == "__main__":
    main()
