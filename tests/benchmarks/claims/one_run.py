"""One training run of a claim: a model scored on classes it never saw, kept as JSON beside the value of each query.

    python -m tests.benchmarks.claims.one_run '{"data": "icons", "koleo_weight": 0.7, "max_steps": 500}' FOLDER

A run that is there already is not made again.
"""

import dataclasses
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from safetensors.numpy import load_file, save_file

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetModel, load_retrieval_dataset

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data"
WEIGHTS, EMOJI = SHARED / "dinov2-small-saliency", SHARED / "emoji.parquet"
METRICS = ("recall_at_1", "recall_at_10", "map_at_r")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: what is trained on what, and how long.

    Attributes:
        data: `"emoji"` or `"icons"`.
        max_steps: 0: off the shelf, the paper's IRT_O.
        koleo_weight: The paper's lambda; 0: contrastive alone, IRT_L; above: IRT_R.
        seed: Of the order of the images, their augmentation and the bootstrap.
        koleo_neighbors: `"all"`, as in the paper, or `"negatives"`.
        images_per_class: K of a batch of 64.
        pooling: Of the model.
        image_size: Side in pixels; images are resized to 8/7 of it.
        margin: The paper's beta.
        learning_rate: Of AdamW, constant.
        with_memory: Whether the cross-batch memory holds the training set, or nothing.
    """

    data: str
    max_steps: int
    koleo_weight: float = 0.0
    seed: int = 0
    koleo_neighbors: str = "all"
    images_per_class: int = 4
    pooling: str = "cls"
    image_size: int = 56
    margin: float = 0.5
    learning_rate: float = 3.0e-5
    with_memory: bool = True

    @property
    def name(self) -> str:
        """A file's name that says all settings that are not the usual ones."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        parts = [f"{name}={value}" for name, value in dataclasses.asdict(self).items() if value != usual[name]]
        return " ".join(parts)


def load(data: str) -> DatasetDict:
    """Load a data set whose test classes are never trained on; end, loudly, where it is missing."""
    if data == "icons":
        return load_retrieval_dataset("icons", size=112, min_drawings=3)
    if not EMOJI.is_file():
        sys.exit(f"THE DEVELOPMENT DATA IS NOT HERE: {EMOJI}")
    return load_retrieval_dataset("catalogue", data_dir=EMOJI, label_column="name")


def perform(run: Run) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train and score; return the facts, and for each metric the value of each query."""
    if not WEIGHTS.is_dir():
        sys.exit(f"THE PRETRAINED WEIGHTS ARE NOT HERE: {WEIGHTS}")
    torch.set_num_threads(2)
    dataset = load(run.data)
    size = {"image_size": run.image_size, "resize_size": run.image_size * 8 // 7}
    model = ViTRetModel.from_backbone(str(WEIGHTS), pooling=run.pooling, attn_implementation="eager", **size)
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            folder,
            max_steps=max(1, run.max_steps),
            per_device_train_batch_size=64,
            images_per_class=run.images_per_class,
            learning_rate=run.learning_rate,
            margin=run.margin,
            koleo_weight=run.koleo_weight,
            koleo_neighbors=run.koleo_neighbors,
            memory_size=None if run.with_memory else 0,
            flip=0.0,
            seed=run.seed,
            bf16=True,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            logging_steps=50,
            disable_tqdm=True,
            report_to="none",
        )
        trainer = RetrievalTrainer(model, args, train_dataset=dataset["train"], eval_dataset=dataset["test"])
        start = time.perf_counter()
        if run.max_steps:
            trainer.train()
        seconds = time.perf_counter() - start
        scores = trainer.evaluate()
        values = {name: trainer.eval_embeddings.query_values[name].numpy() for name in METRICS}
    facts = {
        "run": dataclasses.asdict(run),
        "scores": {name: scores[f"eval_{name}"] for name in METRICS},
        "seconds": seconds if run.max_steps else None,
        "log": trainer.state.log_history,
        "environment": {
            "commit": _commit(),
            "machine": _cpu(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    return facts, values


def perform_once(run: Run, folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Make a run in a process of its own, or read it where it was made before."""
    facts, values = folder / f"{run.name}.json", folder / f"{run.name}.safetensors"
    if not facts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(run)), str(folder)]
        with (folder / f"{run.name}.log").open("w") as log:
            made = subprocess.run(line, check=False, cwd=ROOT, stdout=log, stderr=log)
        if made.returncode:
            sys.exit(f"a run has failed: {log.name} says why")
    return json.loads(facts.read_text()), load_file(values)


def main() -> None:
    run, folder = Run(**json.loads(sys.argv[1])), Path(sys.argv[2])
    facts, values = perform(run)
    save_file(values, folder / f"{run.name}.safetensors")
    partial = folder / f"{run.name}.partial"
    partial.write_text(json.dumps(facts, indent=1) + "\n")
    partial.rename(folder / f"{run.name}.json")  # last: it says that both are there


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
