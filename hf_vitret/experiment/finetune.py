"""The main job: score a backbone off the shelf, fine-tune it, score it again, save it with its card and picture."""

import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict

from .. import __version__
from ..data.schema import column_values, describe_split
from ..evaluation.reporting.report_text import aligned
from ..evaluation.reporting.retrieval_strip import draw_retrieval_strip, drawn_queries
from ..hub.model_card import write_model_card
from ..hub.score_table import how_intervals_were_drawn, metric_names, score_rows
from ..training.cached_features import CachedFeatures, cache_pooled_features
from ..training.checkpoint_contents import check_whole, checkpoint_to_resume
from ..training.checkpointing import remove_partial_folders, whole_folder
from ..training.distributed import gather_rows
from ..training.lora import merge_lora
from ..training.objective import memory_rows
from ..training.trainer import RetrievalTrainer
from ..training.training_args import RetrievalTrainingArguments, cores_per_process
from .arguments import ModelArguments, bad_input_as_message
from .confidence import confidence
from .readable_images import readable_images

FINAL_FOLDER = "final"
PICTURE_NAME = "retrieval.png"
RESULTS_NAME = "results.json"
NUM_SHOWN = 5  # neighbours of a query in the picture
# Settings of the model that are settings of its training: a checkpoint does not know them.
TRAINED_PARTS = ("drop_path_rate", "freeze_blocks", "head_only", "lora_rank", "lora_alpha", "lora_dropout")
BEFORE, AFTER = "off the shelf", "after training"


@dataclass(frozen=True)
class DataFacts:
    """What a model card says about the data and where the run came from.

    Attributes:
        name: Name of the data set, as a person would say it.
        license: Licence of the images, in Markdown; empty where it is not known.
        command: The command that repeats the run.
        next_command: What to try after it.
        base_model: Hub id of the backbone, where it has one.
        model_license: Licence of the trained weights, as the Hub spells it; `None` leaves it open.
    """

    name: str
    license: str
    command: str
    next_command: str
    base_model: str | None = None
    model_license: str | None = None


def finetune(
    dataset: DatasetDict,
    model_args: ModelArguments,
    args: RetrievalTrainingArguments,
    facts: DataFacts,
    *,
    trusted_images: bool = False,
    make_trainer: Callable[..., RetrievalTrainer] = RetrievalTrainer,
) -> Path:
    """Train and evaluate a retrieval model, and write all that is worth keeping to `<output_dir>/final`.

    Args:
        dataset: With `train`, and `test` or `query` and `gallery`.
        model_args: The model.
        args: The run.
        facts: For the card.
        trusted_images: Whether to skip decoding each image once before training starts.
        make_trainer: Takes the model, `args`, `train_dataset` and `eval_dataset` to the trainer of the run.

    Returns:
        The folder: weights, configuration, image processor, model code, card, picture, `results.json`. It is whole
        when any process returns.

    Raises:
        SystemExit: The images, the model's settings or the run's are at fault; before training starts.
    """
    state = PartialState()
    _use_the_cores(state)
    with bad_input_as_message():
        if state.is_main_process and args.output_dir:
            remove_partial_folders(Path(args.output_dir))
        state.wait_for_everyone()
        checkpoint = _checkpoint_to_resume(args)
        dataset, left_out = (dataset, {}) if trusted_images else readable_images(dataset, args.on_bad_image)
        set_seed(args.seed)  # a random projection is the same on every process, and in every run of this seed
        model = model_args.build()
        evaluation_set = {name: split for name, split in dataset.items() if name != "train"}
        train_set = _train_set(dataset["train"], model, model_args, args)
        trainer = make_trainer(model, args, train_dataset=train_set, eval_dataset=evaluation_set)
        if model_args.lora_rank and trainer.is_fsdp_enabled:
            raise ValueError("lora_rank needs whole weights to add its adapters to; got sharded ones: leave FSDP out")
    evaluator, sampler = trainer.evaluator, trainer.sampler
    assert evaluator is not None
    assert sampler is not None

    state.print(f"Evaluating {BEFORE} ...")
    before = trainer.evaluate()
    shown = drawn_queries(evaluator)
    neighbors = [trainer.eval_embeddings.neighbors(shown, NUM_SHOWN)]
    with bad_input_as_message():
        _check_measurable(before)
    values = {BEFORE: trainer.eval_embeddings.query_values}
    state.print("Training ...")
    trained = trainer.train(resume_from_checkpoint=checkpoint)
    if model_args.lora_rank:
        trainer.model = model = merge_lora(model)  # what is scored from here on is what is written
    state.print(f"Evaluating {AFTER} ...")
    after = trainer.evaluate()
    neighbors.append(trainer.eval_embeddings.neighbors(shown, NUM_SHOWN))
    values[AFTER] = trainer.eval_embeddings.query_values

    folder = Path(str(args.output_dir)) / FINAL_FOLDER
    results = {
        "title": facts.name,
        "data": {
            "license": facts.license,
            "splits": {name: describe_split(part) for name, part in dataset.items()},
            "num_shared_classes": _num_shared_classes(dataset),
            "left_out": {name: [image.image_id for image in images] for name, images in left_out.items()},
        },
        "base_model": facts.base_model,
        # A folder's path is its maker's own business: the results are published.
        "backbone": model_args.base_model or Path(model_args.backbone).name,
        "model_license": facts.model_license,
        "command": facts.command,
        "model": {"parameters": model.num_parameters(), "embedding_dim": model.config.output_dim}
        | {name: getattr(model.config, name) for name in ("pooling", "image_size", "resize_size", "resize_mode")},
        "protocol": evaluator.protocol(model),
        "scores": {BEFORE: _scores(before), AFTER: _scores(after)},
        **confidence(values),
        "training": _settings(args, len(dataset["train"]), sampler.batch_size)
        | {name: getattr(model_args, name) for name in TRAINED_PARTS}
        | {
            "best_step": trainer.state.best_global_step or trainer.state.global_step,
            "images_per_second": trained.metrics["train_samples_per_second"],
            "seconds": trained.metrics["train_runtime"],
        },
        "log": trainer.state.log_history,
        "environment": {
            "hf_vitret": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "device": _device_name(args.device),
            "processes": args.world_size,
        },
    }
    # Sharded weights are gathered by all processes; only the main one has a folder to keep.
    if not state.is_main_process:
        trainer.save_model(str(folder))
        state.wait_for_everyone()
        return folder
    with whole_folder(folder) as partial:
        trainer.save_model(str(partial))
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle: results.json says the same
        captions = [_caption(BEFORE, before), _caption(AFTER, after)]
        strip = draw_retrieval_strip(evaluator, shown, neighbors, captions)
        strip.save(partial / PICTURE_NAME)
        (partial / RESULTS_NAME).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        write_model_card(partial, results, PICTURE_NAME)
    print(_report(results, folder, facts.next_command))  # noqa: T201 (the recipes' result is for the screen)
    state.wait_for_everyone()
    return folder


def _train_set(
    dataset: Dataset, model: Any, model_args: ModelArguments, args: RetrievalTrainingArguments
) -> Dataset | CachedFeatures:
    """Return the training images, or for a head alone what the frozen backbone makes of them."""
    if not model_args.head_only:
        return dataset
    world, rank = args.world_size, args.process_index
    share = math.ceil(len(dataset) / world)
    rows = [(rank * share + row) % len(dataset) for row in range(share)]  # equally many on each, as gathering needs
    own = cache_pooled_features(
        model.to(args.device),
        dataset.select(rows),
        batch_size=args.per_device_eval_batch_size,
        num_workers=args.dataloader_num_workers,
        dtype=args.autocast_dtype,
        progress=rank == 0,
    )
    pooled = own.pooled if world == 1 else gather_rows(own.pooled.to(args.device))[: len(dataset)].cpu()
    return CachedFeatures(pooled, torch.tensor(column_values(dataset, "label"), dtype=torch.int64))


def _use_the_cores(state: PartialState) -> None:
    """Give a process that trains on the CPU its share of the cores.

    A plain `accelerate launch` sets `OMP_NUM_THREADS` to 1, which halves the speed on two cores. More than 1 was
    somebody's choice, and stays.
    """
    if state.device.type == "cpu" and torch.get_num_threads() == 1:
        torch.set_num_threads(cores_per_process())


def _checkpoint_to_resume(args: RetrievalTrainingArguments) -> str | None:
    """Read `--resume_from_checkpoint`: a folder, or `true` for the newest checkpoint of the output folder."""
    wanted = args.resume_from_checkpoint
    if wanted is None or wanted.lower() == "false":
        return None
    if wanted.lower() not in ("true", "last"):
        check_whole(Path(wanted))
        return wanted
    return str(checkpoint_to_resume(Path(str(args.output_dir))))


def _check_measurable(metrics: Mapping[str, float]) -> None:
    """Check that a query has something to find: else every score is NaN, and no checkpoint the best."""
    if metrics["eval_num_queries_without_positive"] == metrics["eval_num_queries"]:
        raise ValueError(
            f"none of the {metrics['eval_num_queries']} test images has another one of its class to be found by, so "
            "that nothing can be measured: give a test split (or query and gallery) with two images of a class"
        )


def _num_shared_classes(dataset: DatasetDict) -> int:
    """Count the classes of the images searched for that training has seen."""
    queries = dataset["query" if "query" in dataset else "test"]
    return len({*column_values(dataset["train"], "label")} & {*column_values(queries, "label")})


def _scores(metrics: Mapping[str, float]) -> dict[str, float]:
    timing = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch")
    return {name.removeprefix("eval_"): value for name, value in metrics.items() if name not in timing}


def _settings(args: RetrievalTrainingArguments, num_images: int, global_batch: int) -> dict[str, Any]:
    """Collect the settings that decide the result."""
    names = [
        *["max_steps", "num_train_epochs", "learning_rate", "weight_decay", "lr_scheduler_type", "max_grad_norm"],
        *["gradient_accumulation_steps", "margin", "koleo_weight", "koleo_neighbors", "memory_weight"],
        *["images_per_class", "augmentation", "flip", "bf16", "fp16", "seed"],
        *["loss", "temperature", "memory_start_step", "memory_momentum", "micro_batch_size", "layer_decay"],
    ]
    own = {field.name for field in fields(args)} - {field.name for field in fields(RetrievalTrainingArguments)}
    settings = {name: getattr(args, name) for name in [*names, *sorted(own)]}
    settings["lr_scheduler_type"] = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    settings["memory_size"] = memory_rows(args, num_images)
    settings["global_batch_size"] = global_batch
    return {name: value for name, value in settings.items() if name not in args.UNUSED}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _caption(title: str, metrics: Mapping[str, float]) -> str:
    return f"{title}: R@1 {100 * metrics['eval_recall_at_1']:.1f}"


def _report(results: Mapping[str, Any], folder: Path, next_command: str) -> str:
    """Lay out the scores and what was written where."""
    rows = score_rows(results)
    names = metric_names(results["scores"][AFTER])
    table = [["", *rows], *([title, *(cells[name] for cells in rows.values())] for name, title in names.items())]
    drawn = how_intervals_were_drawn(results)
    scores = "\n".join([*aligned(table), *([drawn] if drawn else [])])
    unread = {name: len(images) for name, images in results["data"]["left_out"].items()}
    counts = ", ".join(f"{count} of {name}" for name, count in unread.items())
    left_out = f"Left out     {counts}: images that cannot be read, named in {RESULTS_NAME}\n" if unread else ""
    return (
        f"\n{scores}\n\n{left_out}"
        f"Checkpoint   {folder}\n"
        f"Model card   {folder / 'README.md'}\n"
        f"Picture      {folder / PICTURE_NAME}\n"
        f"Next         {next_command}"
    )
