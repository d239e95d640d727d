"""`finetune`: score a backbone, train it, score it again, and write the checkpoint with its card and pictures."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ...data.readable_images import CheckedImages, readable_images
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
    """Train and evaluate a retrieval model, and write the checkpoint with its card to `<output_dir>/final`.

    With `push_to_hub` the checkpoint is published at the end. A failed push is reported and leaves the folder whole.

    Args:
        dataset: Splits `train`, and `test` or `query` and `gallery`. With `train` alone nothing is measured.
        model_args: Settings of the model.
        args: Settings of the training.
        facts: Facts about the data and the model for the card.
        trusted_images: Whether to skip the check that decodes each image once before training starts.
        make_trainer: Makes the trainer from the model, `args`, `train_dataset` and `eval_dataset`.
        score_more: Takes the finished folder and returns further entries of the results and the card. Only the main
            process calls it, and the others do not wait for it.
        say: Prints a line about the progress; only the main process calls it.

    Returns:
        The folder and the results. When any process returns, the folder is whole and the process group has ended.

    Raises:
        ValueError: Images cannot be read, or a setting of the model or of the training is wrong; raised before
            training starts.
        OSError: The model or a checkpoint does not exist; raised before training starts.
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
    checked = CheckedImages(dataset, {}, {}) if trusted_images else readable_images(dataset, args.on_bad_image)
    dataset = checked.dataset
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
        trainer.model = model = merge_lora(model)  # from here on the scored model is the one that is written
    measured.evaluate(AFTER)
    shorter = None
    if evaluation_set:
        shorter = short_vector_scores(trainer.model, dataset["train"], trainer.eval_embeddings)

    folder = Path(str(args.output_dir)) / FINAL_FOLDER
    # All processes gather sharded weights; only the main one writes a folder.
    if not state.is_main_process:
        trainer.save_model(str(folder))
        _end_process_group(state)
        return FinishedRun(folder, {}, None)
    results = run_results(trainer, trained.metrics, checked, model_args, facts, measured.metrics, measured.values)
    results |= {} if shorter is None else {"short_vectors": shorter}
    with whole_folder(folder) as partial:
        trainer.save_model(str(partial))
        if evaluation_set:
            strip, results["picture"] = measured.draw_strip()
            strip.save(partial / PICTURE_NAME)
        save_curves(results, partial, say)
        results["formats"] = formats_in(partial)
        _write_card(partial, results)
    _end_process_group(state)
    if score_more is not None:
        results |= dict(score_more(folder))
        _write_card(folder, results)
    is_published = publish_run(folder, trainer, say) if args.push_to_hub else None
    return FinishedRun(folder, results, is_published)


def _measure_nothing(args: RetrievalTrainingArguments) -> None:
    """Turn evaluation and the choice of the best checkpoint off, for a run without test images."""
    args.eval_strategy = IntervalStrategy.NO
    args.do_eval = False
    args.load_best_model_at_end = False
    args.metric_for_best_model = None
    if args.save_strategy == SaveStrategy.BEST:
        raise ValueError("expected a test split with --save_strategy best, which needs scores; got none")


def _silent(text: str) -> None:
    """Print nothing."""


def _write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the results, and the card and the file of evaluation results with the same numbers."""
    write_json(folder / RESULTS_NAME, results)
    pictures = [name if (folder / name).exists() else None for name in (PICTURE_NAME, CURVES_NAME)]
    write_model_card(folder, results, *pictures)
    write_eval_results(folder, results)


def _train_set(
    dataset: Dataset, model: Any, model_args: ModelArguments, args: RetrievalTrainingArguments
) -> Dataset | CachedFeatures:
    """Return the training images; with `head_only`, the outputs of the frozen backbone for them."""
    if not model_args.head_only:
        return dataset
    world, rank = args.world_size, args.process_index
    share = math.ceil(len(dataset) / world)
    rows = [(rank * share + row) % len(dataset) for row in range(share)]  # gathering needs equally many on each process
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

    A plain `accelerate launch` sets `OMP_NUM_THREADS` to 1, which halves the speed on two cores. A larger number was
    chosen by the user and is kept.
    """
    if state.device.type == "cpu" and torch.get_num_threads() == 1:
        torch.set_num_threads(cores_per_process())


def _end_process_group(state: PartialState) -> None:
    """Wait for all processes, and end the process group.

    If it lives until the interpreter exits, NCCL prints a warning, and threads of gloo have aborted finished processes.
    """
    state.wait_for_everyone()
    state.destroy_process_group()
