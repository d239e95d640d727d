"""A run on tuples that records its gradients and tuples, with one process or several, for the tests of resuming."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback

from hf_vitret.data.schema import column_values
from hf_vitret.training.tuples.arguments import TupleTrainingArguments
from hf_vitret.training.tuples.trainer import TupleTrainer
from tests.training import runs
from tests.training.checkpoints.resume_run import KillAt, digest
from tests.training.tiny_backbones import tiny

TUPLES = 2  # in a step of all processes
SETTINGS: dict[str, Any] = {
    "num_negatives": 2,
    "pairs_per_epoch": 7,  # of 24; the seventh makes no whole step and is left out
    "pool_size": 20,  # of 24 images
    "max_steps": 8,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": 2,
    "load_best_model_at_end": False,
    "per_device_eval_batch_size": 3,
    "learning_rate": 1e-3,
    "use_cpu": True,
    "disable_tqdm": True,
}


def pairs_of(dataset: Dataset) -> Dataset:
    """List the pairs of neighbouring images of one class: 24 in six classes of four."""
    labels = column_values(dataset, "label")
    pairs = [(row, other) for row in range(len(labels)) for other in (row + 1, row - 1)]
    pairs = [(row, other) for row, other in pairs if 0 <= other < len(labels) and labels[row] == labels[other]]
    return Dataset.from_dict({"anchor": [row for row, _ in pairs], "positive": [other for _, other in pairs]})


def arguments(folder: Path, **changes: Any) -> TupleTrainingArguments:
    batch = TUPLES * (2 + changes.get("num_negatives", SETTINGS["num_negatives"]))
    batch //= int(os.environ.get("WORLD_SIZE", "1"))
    return TupleTrainingArguments(
        **{"output_dir": str(folder), "per_device_train_batch_size": batch, **SETTINGS, **changes}
    )


class Observer(TrainerCallback):
    """Record the gradient and the tuples of each step."""

    def __init__(self) -> None:
        self.trainer: TupleTrainer
        self.gradients: list[list[float]] = []
        self.tuples: list[list[list[int]]] = []

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        gradients = [weight.grad.flatten() for weight in self.trainer.model.parameters()]
        self.gradients.append(torch.cat(gradients).tolist())
        self.tuples.append(self.trainer.tuple_sampler.tuples.tolist())


def new_trainer(folder: Path, callbacks: Any = (), **changes: Any) -> TupleTrainer:
    dataset = runs.shapes_dataset()
    train = changes.pop("train_dataset", dataset["train"])
    pairs = changes.pop("pairs", None) or pairs_of(dataset["train"])
    model = tiny(resize_size=runs.SIDE, resize_mode="square")
    args = arguments(folder, **changes)
    return TupleTrainer(model, args, train, dataset["test"], pairs=pairs, callbacks=list(callbacks))


def run(folder: str, changes: dict[str, Any], death: int = 0) -> None:
    """Train to the end, from the last checkpoint if there is one; `death` is the step to be killed at (0: never)."""
    observer = Observer()
    trainer = new_trainer(Path(folder), [observer, *([KillAt(death)] if death else [])], **changes)
    observer.trainer = trainer
    trainer.train(resume_from_checkpoint=trainer.last_checkpoint())

    seen = {
        **digest(trainer),
        "gradients": observer.gradients,
        "tuples": observer.tuples,
    }
    (Path(folder) / f"seen-{trainer.args.process_index}.json").write_text(json.dumps(seen))
