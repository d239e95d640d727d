"""The main job: score a backbone off the shelf, fine-tune it, score it again, save it with its card and picture."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ...data.readable_images import readable_images
from ...data.schema import column_values
from ...files.atomic_folders import remove_partials, whole_folder
from ...files.json_values import write_json
from ...hub.card.eval_results import write_eval_results
from ...hub.card.formats import formats_in
from ...hub.card.run_files import CURVES_NAME, PICTURE_NAME, RESULTS_NAME
from ...hub.model_card import write_model_card
from ...inference.find_checkpoint import FINAL_FOLDER
from ...training.batches.cached_features import CachedFeatures, cache_pooled_features
from ...training.distributed.gathering import gather_rows
from ...training.trainable.lora import merge_lora
from ...training.trainer import RetrievalTrainer
from ...training.training_args import RetrievalTrainingArguments, cores_per_process
from ..evaluate.short_vector_scores import short_vector_scores
from .arguments import ModelArguments
from .data_facts import DataFacts
from .measurements import AFTER, BEFORE, Measurements
from .publish_run import publish_run
from .resuming import hub_checkpoint, local_checkpoint
from .run_pictures import save_curves
from .run_report import FinishedRun
from .run_results import run_results

MoreScores: TypeAlias = Callable[[Path], Mapping[str, Any]]


def finetune(
    dataset: DatasetDict,
    model_args: ModelArguments,
    args: RetrievalTrainingArguments,
    facts: DataFacts,
    *,
    trusted_images: bool = False,
    make_trainer: Callable[..., RetrievalTrainer] = RetrievalTrainer,
    score_more: MoreScores | None = None,
    say: Callable[[str], None] = print,
) -> FinishedRun:
    """Train and evaluate a retrieval model, and write all that is worth keeping to `<output_dir>/final`.

    With `push_to_hub` it is published at the end; a push that fails is reported, and leaves the folder whole.

    Args:
        dataset: With `train`, and `test` or `query` and `gallery`; with `train` alone nothing is measured.
        model_args: The model.
        args: The run.
        facts: For the card.
        trusted_images: Whether to skip decoding each image once before training starts.
        make_trainer: Takes the model, `args`, `train_dataset` and `eval_dataset` to the trainer of the run.
        score_more: Takes the folder, once it is whole, to what the results and the card say beside it; called on the
            main process alone, which the others do not wait for.
        say: Prints a line about what is going on; called on the main process alone.

    Returns:
        The folder and the results. The folder is whole when any process returns, and the process group has ended.

    Raises:
        ValueError: The images, the model's settings or the run's are at fault; before training starts.
        OSError: A model or a checkpoint is not there; before training starts.
    """
    state = PartialState()
    args._n_gpu = min(args.n_gpu, 1)  # more would split the images that are compared with each other (DataParallel)
    _use_the_cores(state)
    if state.is_main_process and args.output_dir:
        remove_partials(Path(args.output_dir))
    state.wait_for_everyone()
    checkpoint = local_checkpoint(args)
    if not trusted_images and state.is_main_process:
        say("Reading each image once ...")
    dataset, left_out = (dataset, {}) if trusted_images else readable_images(dataset, args.on_bad_image)
    set_seed(args.seed)  # a random projection is the same on every process, and in every run of this seed
    model = model_args.build()
    evaluation_set = {name: split for name, split in dataset.items() if name != "train"}
    if not evaluation_set:
        _measure_nothing(args)
    train_set = _train_set(dataset["train"], model, model_args, args)
    trainer = make_trainer(model, args, train_dataset=train_set, eval_dataset=evaluation_set or None)
    if model_args.lora_rank and trainer.is_fsdp_enabled:
        raise ValueError("lora_rank needs whole weights to add its adapters to; got sharded ones: leave FSDP out")
    checkpoint = checkpoint or hub_checkpoint(trainer)

    measured = Measurements(trainer, say if state.is_main_process else _silent)
    measured.evaluate(BEFORE)
    measured.check()
    if state.is_main_process:
        say("Training ...")
    trained = trainer.train(resume_from_checkpoint=checkpoint)
    if model_args.lora_rank:
        trainer.model = model = merge_lora(model)  # what is scored from here on is what is written
    measured.evaluate(AFTER)
    shorter = None
    if evaluation_set:
        shorter = short_vector_scores(trainer.model, dataset["train"], trainer.eval_embeddings)

    folder = Path(str(args.output_dir)) / FINAL_FOLDER
    # Sharded weights are gathered by all processes; only the main one has a folder to keep.
    if not state.is_main_process:
        trainer.save_model(str(folder))
        _part(state)
        return FinishedRun(folder, {}, None)
    results = run_results(
        trainer, trained.metrics, dataset, left_out, model_args, facts, measured.metrics, measured.values
    )
    results |= {} if shorter is None else {"short_vectors": shorter}
    with whole_folder(folder) as partial:
        trainer.save_model(str(partial))
        if evaluation_set:
            strip, results["picture"] = measured.draw_strip()
            strip.save(partial / PICTURE_NAME)
        save_curves(results, partial, say)
        results["formats"] = formats_in(partial)
        _write_card(partial, results)
    _part(state)
    if score_more is not None:
        results |= dict(score_more(folder))
        _write_card(folder, results)
    is_published = publish_run(folder, trainer, say) if args.push_to_hub else None
    return FinishedRun(folder, results, is_published)


def _measure_nothing(args: RetrievalTrainingArguments) -> None:
    """Let a run without test images neither evaluate nor look for a best checkpoint."""
    args.eval_strategy = IntervalStrategy.NO
    args.do_eval = False
    args.load_best_model_at_end = False
    args.metric_for_best_model = None
    if args.save_strategy == SaveStrategy.BEST:
        raise ValueError("expected a test split with --save_strategy best, which needs scores; got none")


def _silent(text: str) -> None:
    """Print nothing."""


def _write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the results, and the card and the leaderboard's file that say the same."""
    write_json(folder / RESULTS_NAME, results)
    pictures = [name if (folder / name).exists() else None for name in (PICTURE_NAME, CURVES_NAME)]
    write_model_card(folder, results, *pictures)
    write_eval_results(folder, results)


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


def _part(state: PartialState) -> None:
    """Wait for all processes, and end what joins them.

    Left to the end of each process, NCCL warns, and gloo's threads have aborted one that was done.
    """
    state.wait_for_everyone()
    state.destroy_process_group()
