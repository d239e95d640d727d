"""A run by `RetrievalTrainer`, with the scores on the way."""

import tempfile
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from transformers import AutoConfig, AutoModel, ResNetConfig, TrainerCallback

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetModel
from hf_vitret.training.batches.sampler import EpochSampler
from hf_vitret.training.batches.training_set import TrainingSet

from ..harness.development_data import WEIGHTS
from .images import some_classes
from .run import CONV, PRETRAINED, Run

Values = dict[str, np.ndarray]


def build_model(run: Run) -> ViTRetModel:
    """Build the model of a run: a pretrained backbone, or one whose weights its seed draws."""
    attention = (
        {} if run.backbone == CONV else {"attn_implementation": "sdpa" if torch.cuda.is_available() else "eager"}
    )
    fields = {"pooling": run.pooling, "image_size": run.image_size, "resize_size": run.resize_size, **attention}
    if run.backbone == PRETRAINED:
        return ViTRetModel.from_backbone(str(WEIGHTS), **fields)
    torch.manual_seed(run.seed)
    config = ResNetConfig() if run.backbone == CONV else AutoConfig.from_pretrained(WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        AutoModel.from_config(config).float().save_pretrained(folder)
        return ViTRetModel.from_backbone(folder, **fields)


def train(run: Run, model: ViTRetModel, dataset: DatasetDict) -> tuple[list[dict[str, float]], dict[int, Values]]:
    """Train a model; return the log, and for each step with a score the value of each query, by metric."""
    values: dict[int, Values] = {}
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            folder,
            max_steps=run.max_steps,
            per_device_train_batch_size=64,
            images_per_class=max(2, run.images_per_class),
            learning_rate=run.learning_rate,
            loss=run.loss,
            margin=run.margin,
            koleo_weight=run.koleo_weight,
            koleo_neighbors=run.koleo_neighbors,
            memory_size=None if run.with_memory else 0,
            flip=0.0,  # a letter's mirror image is no letter
            seed=run.seed,
            bf16=not torch.cuda.is_available(),
            eval_strategy="steps",
            eval_steps=run.score_every,
            save_strategy="no",
            load_best_model_at_end=False,
            logging_steps=50,
            disable_tqdm=True,
            dataloader_num_workers=0,
            report_to="none",
        )
        kind = RandomBatches if run.images_per_class == 1 else RetrievalTrainer
        train_images = some_classes(dataset["train"], run.train_classes, run.seed)
        trainer = kind(model, args, train_dataset=train_images, eval_dataset=dataset["test"])
        trainer.add_callback(_OnTheWay(run, trainer, values))
        trainer.train()
    return trainer.state.log_history, values


class RandomOrder(EpochSampler):
    """All images in random order, but for a last batch that is not full."""

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)
        self.num_images = num_images

    def __len__(self) -> int:
        return self.num_images // self.batch_size * self.batch_size

    def __iter__(self) -> Any:
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.num_images)[: len(self)].tolist()


class RandomBatches(RetrievalTrainer):
    """Trains on images at random, whatever their class."""

    def _build_sampler(self, training_set: TrainingSet, args: RetrievalTrainingArguments) -> EpochSampler:
        return RandomOrder(len(training_set.class_ids), args.step_images, args.order_seed)


class _OnTheWay(TrainerCallback):
    """Turns KoLeo as the schedule says, and keeps what each query scores."""

    def __init__(self, run: Run, trainer: RetrievalTrainer, values: dict[int, Values]) -> None:
        self.run, self.trainer, self.values = run, trainer, values

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        is_first_half = state.global_step < self.run.max_steps // 2
        loss = self.trainer.loss
        if self.run.koleo_schedule == "negatives first":
            loss.koleo.neighbors = "negatives" if is_first_half else "all"
        elif self.run.koleo_schedule == "late":
            loss.koleo_weight = 0.0 if is_first_half else self.run.koleo_weight

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        found = self.trainer.eval_embeddings.query_values
        self.values[state.global_step] = {name: scores.numpy() for name, scores in found.items()}
