"""Make runs: each once, in a process beside others or alone, kept as JSON beside the value of each query."""

import dataclasses
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from hf_vitret import ViTRetModel, embed_images, measure_spread, short_vectors
from hf_vitret.data.schema import column_values
from hf_vitret.evaluation.evaluator import RetrievalEvaluator

from ..harness.development_data import WEIGHTS
from ..harness.environment import environment
from ..harness.report import write_aside
from .images import load, some_classes
from .rivals import RIVALS, RivalSetting
from .run import OURS, Run
from .training import Values, build_model, train

METRICS = ("recall_at_1", "recall_at_10", "map_at_r")
DIMS = (384, 256, 128, 64, 32, 16, 8)


def perform(run: Run) -> tuple[dict[str, Any], Values]:
    """Train and score; return the facts, and by `step/metric` the value of each query."""
    if not WEIGHTS.is_dir():
        sys.exit(f"THE PRETRAINED WEIGHTS ARE NOT HERE: {WEIGHTS}")
    dataset, device = load(run.data, run.resize_size), "cuda" if torch.cuda.is_available() else "cpu"
    start = time.perf_counter()
    model, log, of_step = build_model(run).to(device), [], {}
    if run.max_steps and run.program == OURS:
        log, of_step = train(run, model, dataset)
    elif run.max_steps:
        setting = RivalSetting(
            backbone=WEIGHTS,
            images=some_classes(dataset["train"], run.train_classes, run.seed),
            image_size=run.image_size,
            resize_size=run.resize_size,
            max_steps=run.max_steps,
            learning_rate=run.learning_rate,
            seed=run.seed,
            attention=model.config._attn_implementation,
            bf16=device == "cpu",
        )
        model.backbone.load_state_dict(RIVALS[run.program](setting).state_dict())
    seconds = time.perf_counter() - start
    model.eval()
    if run.max_steps not in of_step:
        evaluator = RetrievalEvaluator(dataset["test"], dtype=torch.bfloat16)
        found = evaluator.query_metrics(evaluator.embed(model, dataset["test"], progress=False))
        of_step[run.max_steps] = {name: np.asarray(scores) for name, scores in found.items()}
    values = {
        f"{step}/{name}": np.asarray(of_query[name], dtype=np.float32)
        for step, of_query in of_step.items()
        for name in METRICS
    }
    facts = {
        "run": dataclasses.asdict(run),
        "scores": {key: float(np.nanmean(of_query)) for key, of_query in values.items()},
        "seconds": seconds if run.max_steps else None,
        "log": log,
        "environment": environment(),
    }
    if run.analysed:
        analysis, arrays = analyse(model, dataset)
        facts |= analysis
        values |= arrays
    return facts, values


def analyse(model: ViTRetModel, dataset: datasets.DatasetDict) -> tuple[dict[str, Any], Values]:
    """Measure short vectors (PCA of the training set) and how the test embeddings spread."""
    features, of_train = (
        embed_images(model, dataset[split], dtype=torch.bfloat16, normalize=False, progress=False)
        for split in ("test", "train")
    )
    labels = column_values(dataset["test"], "label")
    table = short_vectors(
        of_train, features, labels, dims=DIMS, reductions=("pca",), precisions=("float32",), progress=False
    )
    spread = measure_spread(torch.nn.functional.normalize(features), labels)
    arrays = {f"spread/{name}": value.numpy() for name, value in vars(spread).items() if torch.is_tensor(value)}
    return {"short_vectors": table.rows(), "spread": spread.summary()}, arrays


def perform_once(run: Run, folder: Path) -> str:
    """Make a run and keep it, or leave it where it was made before; return its name."""
    facts, values = folder / f"{run.name}.json", folder / f"{run.name}.safetensors"
    if not facts.exists():
        found, of_queries = perform(run)
        save_file(of_queries, values)
        write_aside(facts, (json.dumps(found, indent=1) + "\n").encode())  # last: it says that both are there
    return run.name


def read_facts(run: Run, folder: Path) -> dict[str, Any]:
    """Return what is known of a run that has been made."""
    return json.loads((folder / f"{run.name}.json").read_text())


def read_values(run: Run, folder: Path) -> Values:
    """Return the value of each query of a run that has been made, and its arrays of the spread."""
    return load_file(folder / f"{run.name}.safetensors")


def is_made(run: Run, folder: Path) -> bool:
    """Tell whether a run has been made."""
    return (folder / f"{run.name}.json").exists()


def perform_all(runs: Iterable[Run], folder: Path, processes: int) -> Iterator[str]:
    """Make those of some runs that are not there yet, so many at a time; yield the name of each when it is made."""
    missing = [run for run in dict.fromkeys(runs) if not is_made(run, folder)]
    folder.mkdir(parents=True, exist_ok=True)
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(folder, processes),
    )
    with pool, tqdm(total=len(missing), desc="Runs", unit="run") as bar:
        waiting = [pool.submit(perform_once, run, folder) for run in missing]
        for done in as_completed(waiting):
            yield done.result()
            bar.update()


def _begin(folder: Path, processes: int) -> None:
    """Start a process that makes runs: its share of the cores, and its output to a file."""
    torch.set_float32_matmul_precision("high")
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))
    datasets.disable_progress_bars()
    sys.stdout = sys.stderr = (folder / f"process-{os.getpid()}.log").open("w", buffering=1)
