"""A run with several processes that counts the all-reduces of DDP, for the test of gradient caching."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from transformers import TrainerCallback

from tests.training import runs


class Counter(TrainerCallback):
    """Count the gradient buckets that DDP reduces in each step."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        def count(state: Any, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
            self.counts[-1] += 1
            return allreduce_hook(None, bucket)

        self.trainer.model_wrapped.register_comm_hook(None, count)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.counts.append(0)


def run(folder: str, changes: dict[str, Any]) -> None:
    """Train, and write the counts of each step to `<folder>/counts-<rank>.json`."""
    counter = Counter()
    trainer = counter.trainer = runs.new_trainer(Path(folder), callbacks=[counter], **changes)
    trainer.train()
    (Path(folder) / f"counts-{os.environ['RANK']}.json").write_text(json.dumps(counter.counts))
