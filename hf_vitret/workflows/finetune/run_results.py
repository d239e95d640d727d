"""The content of `results.json`: data, settings, scores and environment of a run. The card is written from it."""

import os
import platform
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import DatasetDict

from ... import __version__
from ...data.image_checks import BadImage
from ...data.readable_images import CheckedImages
from ...data.schema import column_values, describe_split
from ...hub.card.paper_figures import PAPER_FIGURES
from ...training.steps.objective import memory_rows
from ...training.trainer import RetrievalTrainer
from ...training.training_args import RetrievalTrainingArguments
from ..evaluate.confidence import confidence
from .arguments import ModelArguments
from .data_facts import DataFacts

# Settings of the model that affect the training alone and are in no checkpoint.
TRAINED_PARTS = ("drop_path_rate", "freeze_blocks", "head_only", "lora_rank", "lora_alpha", "lora_dropout")
_ALWAYS = ("base_model", "model_license")  # are there as null if unknown; other entries are left out then
_MODEL_INFO = "/proc/cpuinfo"  # exists on Linux alone


def run_results(
    trainer: RetrievalTrainer,
    trained: Mapping[str, float],
    checked: CheckedImages,
    model_args: ModelArguments,
    facts: DataFacts,
    metrics: Mapping[str, Mapping[str, float]],
    values: Mapping[str, Mapping[str, torch.Tensor]],
) -> dict[str, Any]:
    """Collect the results of a run at its end.

    Args:
        trainer: The trainer of the run, with the model that is written.
        trained: The metrics that `train` returned.
        checked: The splits without unreadable images, and the images that were left out or mended.
        model_args: Settings of the model.
        facts: Facts about the data and the model.
        metrics: Title of an evaluation -> what `evaluate` returned.
        values: Title of an evaluation -> name of a metric -> score of each query, as for `confidence`.

    Returns:
        The content of `results.json`, as JSON values.
    """
    args, model, evaluator, sampler = trainer.args, trainer.model, trainer.evaluator, trainer.sampler
    dataset = checked.dataset
    assert sampler is not None
    data = {"name": facts.dataset, "dataset_id": facts.dataset_id, "revision": facts.revision}
    data |= {"benchmark": facts.benchmark}  # type: ignore[dict-item]
    shape = (
        "pooling",
        "image_size",
        "resize_size",
        "resize_mode",
        *(["gem_p"] if model.config.pooling == "gem" else []),
    )
    has_own_weights = trainer.loss is not None and any(True for _ in trainer.loss.parameters())
    results = {
        "title": facts.name,
        "date": date.today().isoformat(),
        "data": {
            **{name: value for name, value in data.items() if value is not None},
            "license": facts.license,
            "splits": {name: describe_split(part) for name, part in dataset.items()},
            "num_shared_classes": _num_shared_classes(dataset),
            "left_out": _ids(checked.left_out),
            **({"mended": _ids(checked.mended)} if checked.mended else {}),
            "left_out_files": list(facts.left_out_files),
        },
        "base_model": facts.base_model,
        # The results are published, and the path of a folder may be private.
        "backbone": model_args.base_model or Path(model_args.model).name,
        **{name: getattr(facts, name) for name in ("model_license", "model_license_name", "model_license_link")},
        "command": facts.command,
        "model": {"parameters": model.num_parameters(), "embedding_dim": model.config.output_dim}
        | {name: getattr(model.config, name) for name in shape},
        "protocol": None if evaluator is None else evaluator.protocol(model),
        "scores": {title: _scores(found) for title, found in metrics.items()},
        **confidence(values),
        "paper": PAPER_FIGURES.get(facts.dataset or ""),
        "training": run_settings(args, len(dataset["train"]), sampler.batch_size, has_own_weights=has_own_weights)
        | {name: getattr(model_args, name) for name in TRAINED_PARTS}
        | {
            "best_step": trainer.state.best_global_step or trainer.state.global_step,
            "images_per_second": trained["train_samples_per_second"],
            "seconds": trained["train_runtime"],
        },
        "log": trainer.state.log_history,
        "environment": {
            "hf_vitret": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "device": device_name(args.device),
            "processes": args.world_size,
        },
    }
    return {name: value for name, value in results.items() if value is not None or name in _ALWAYS}


def run_settings(
    args: RetrievalTrainingArguments, num_images: int, global_batch: int, *, has_own_weights: bool = False
) -> dict[str, Any]:
    """Collect the settings of a training that affect its result.

    Args:
        args: Settings of the training.
        num_images: Number of images in the training set.
        global_batch: Number of images in a step of all processes.
        has_own_weights: Whether the loss has weights, which have a learning rate of their own.

    Returns:
        Name of a setting -> its value, as JSON values.
    """
    names = [
        "max_steps" if args.max_steps > 0 else "num_train_epochs",
        *["learning_rate", "weight_decay", "lr_scheduler_type", "warmup_steps", "max_grad_norm"],
        *["optim", "adam_beta1", "adam_beta2", "adam_epsilon"],
        *["gradient_accumulation_steps", "margin", "koleo_weight", "koleo_neighbors", "memory_weight"],
        *["images_per_class", "augmentation", "flip", "bf16", "fp16", "seed"],
        *["loss", "temperature", "memory_start_step", "memory_momentum", "micro_batch_size", "layer_decay"],
        *(["loss_learning_rate"] if has_own_weights else []),
    ]
    own = {field.name for field in fields(args)} - {field.name for field in fields(RetrievalTrainingArguments)}
    settings = {name: getattr(args, name) for name in [*names, *sorted(own)]}
    for name in ("lr_scheduler_type", "optim"):  # members of enumerations, or their text
        settings[name] = str(getattr(settings[name], "value", settings[name]))
    settings["memory_size"] = memory_rows(args, num_images)
    settings["global_batch_size"] = global_batch
    return {name: value for name, value in settings.items() if name not in args.UNUSED}


def device_name(device: torch.device) -> str:
    """Return the product name of a device, of a CPU with the number of its cores.

    Args:
        device: The device of a run.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    name = platform.processor() or platform.machine()
    if Path(_MODEL_INFO).is_file():
        lines = Path(_MODEL_INFO).read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} with {os.cpu_count()} cores"


def _ids(images: Mapping[str, list[BadImage]]) -> dict[str, list[str]]:
    """Return the ids of the images of each split."""
    return {split: [image.image_id for image in found] for split, found in images.items()}


def _num_shared_classes(dataset: DatasetDict) -> int:
    """Count the classes of the queries that are in the training set too."""
    names = [name for name in ("query", "test") if name in dataset]
    if not names:
        return 0
    queries = dataset[names[0]]
    return len({*column_values(dataset["train"], "label")} & {*column_values(queries, "label")})


def _scores(metrics: Mapping[str, float]) -> dict[str, float]:
    timing = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch")
    return {name.removeprefix("eval_"): value for name, value in metrics.items() if name not in timing}
