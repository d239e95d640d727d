"""A run for the tests of resuming, which is killed and started again, with every part that has a state.

These are a memory that wraps, a momentum encoder, dropout and drop-path, augmentation in workers, and gradient caching
or accumulation. Its checkpoints fall between two lines of the log and in the middle of an epoch.
"""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from transformers import Dinov2Config, TrainerCallback

from hf_vitret import RetrievalTrainer, ViTRetConfig, ViTRetModel
from tests.training import runs

STEPS = 14

SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "logging_steps": 3,
    "save_steps": 2,
    "eval_steps": 4,
    "save_total_limit": 2,
    "load_best_model_at_end": False,
    "memory_size": 20,
    "memory_momentum": 0.9,
    "augmentation": "random_resized_crop",
    "flip": 0.5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 3,
}


def model_with_dropout() -> ViTRetModel:
    """Build a narrow DINOv2 with dropout and drop-path; every call gives the same weights."""
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
        hidden_dropout_prob=0.1,
        drop_path_rate=0.3,
    )
    return ViTRetModel(ViTRetConfig(backbone, image_size=28, resize_size=30, embedding_dim=8))


class KillAt(TrainerCallback):
    """Kill the process at the start of a step, without any clean-up."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def digest(trainer: RetrievalTrainer) -> dict[str, Any]:
    """Return the result of a run: a hash of all tensors, and everything that it logged except times."""
    sha = hashlib.sha256()
    for tensors in (trainer.model.state_dict(), trainer.extra_state()):
        for name, tensor in sorted(tensors.items()):
            sha.update(name.encode() + tensor.detach().contiguous().cpu().numpy().tobytes())
    timed = ("runtime", "per_second", "flos", "data_wait")
    log = [
        {name: value for name, value in line.items() if not any(word in name for word in timed)}
        for line in trainer.state.log_history
    ]
    return {"state": sha.hexdigest(), "log": log}


def run(folder: str, changes: dict[str, Any], death: int) -> None:
    """Train to the end, from the last checkpoint if there is one; `death` is the step to be killed at (0: never)."""
    dataset = runs.shapes_dataset()
    trainer = RetrievalTrainer(
        model_with_dropout(),
        runs.arguments(Path(folder), **{**SETTINGS, **changes}),
        train_dataset=dataset["train"],
        eval_dataset=dataset["test"],
        callbacks=[KillAt(death)] if death else [],
    )
    trainer.train(resume_from_checkpoint=trainer.last_checkpoint())
    (Path(folder) / f"digest-{trainer.args.process_index}.json").write_text(json.dumps(digest(trainer)))
