"""The main job: score a backbone off the shelf, fine-tune it, score it again, save it with its card and picture."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict

from ...data.readable_images import readable_images
from ...data.schema import column_values
from ...evaluation.reporting.report_text import aligned
from ...evaluation.reporting.retrieval_strip import drawn_queries
from ...files.atomic_folders import remove_partials, whole_folder
from ...files.json_values import write_json
from ...hub.card.eval_results import write_eval_results
from ...hub.card.formats import formats_in
from ...hub.card.run_files import CURVES_NAME, PICTURE_NAME, RESULTS_NAME
from ...hub.model_card import write_model_card
from ...hub.score_table import how_intervals_were_drawn, metric_names, score_rows
from ...training.batches.cached_features import CachedFeatures, cache_pooled_features
from ...training.distributed.gathering import gather_rows
from ...training.trainable.lora import merge_lora
from ...training.trainer import RetrievalTrainer
from ...training.training_args import RetrievalTrainingArguments, cores_per_process
from ..evaluate.short_vector_scores import short_vector_scores
from .arguments import ModelArguments, bad_input_as_message
from .data_facts import DataFacts
from .publish_run import publish_run
from .resuming import hub_checkpoint, local_checkpoint
from .run_pictures import NUM_DRAWN, NUM_NEIGHBORS, draw_strip, save_curves
from .run_results import run_results
from .schedule_advice import schedule_advice

FINAL_FOLDER = "final"
BEFORE, AFTER = "off the shelf", "after training"
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
) -> Path:
    """Train and evaluate a retrieval model, and write all that is worth keeping to `<output_dir>/final`.

    With `push_to_hub` it is published at the end: one that fails is told, and leaves the folder whole.

    Args:
        dataset: With `train`, and `test` or `query` and `gallery`.
        model_args: The model.
        args: The run.
        facts: For the card.
        trusted_images: Whether to skip decoding each image once before training starts.
        make_trainer: Takes the model, `args`, `train_dataset` and `eval_dataset` to the trainer of the run.
        score_more: Takes the folder, once it is whole, to what the results and the card say beside it; called on the
            main process alone, which the others do not wait for.

    Returns:
        The folder: weights, configuration, image processor, model code, card, picture, `results.json`. It is whole
        when any process returns, and the processes are a group no more.

    Raises:
        SystemExit: The images, the model's settings or the run's are at fault; before training starts.
    """
    state = PartialState()
    _use_the_cores(state)
    with bad_input_as_message():
        if state.is_main_process and args.output_dir:
            remove_partials(Path(args.output_dir))
        state.wait_for_everyone()
        checkpoint = local_checkpoint(args)
        dataset, left_out = (dataset, {}) if trusted_images else readable_images(dataset, args.on_bad_image)
        set_seed(args.seed)  # a random projection is the same on every process, and in every run of this seed
        model = model_args.build()
        evaluation_set = {name: split for name, split in dataset.items() if name != "train"}
        train_set = _train_set(dataset["train"], model, model_args, args)
        trainer = make_trainer(model, args, train_dataset=train_set, eval_dataset=evaluation_set)
        if model_args.lora_rank and trainer.is_fsdp_enabled:
            raise ValueError("lora_rank needs whole weights to add its adapters to; got sharded ones: leave FSDP out")
        checkpoint = checkpoint or hub_checkpoint(trainer)
    evaluator = trainer.evaluator
    assert evaluator is not None

    state.print(f"Evaluating {BEFORE} ...")
    before = trainer.evaluate()
    drawn = drawn_queries(evaluator, NUM_DRAWN)
    neighbors = [trainer.eval_embeddings.neighbors(drawn, NUM_NEIGHBORS)]
    with bad_input_as_message():
        _check_measurable(before)
    values = {BEFORE: trainer.eval_embeddings.query_values}
    state.print("Training ...")
    trained = trainer.train(resume_from_checkpoint=checkpoint)
    if model_args.lora_rank:
        trainer.model = model = merge_lora(model)  # what is scored from here on is what is written
    state.print(f"Evaluating {AFTER} ...")
    after = trainer.evaluate()
    neighbors.append(trainer.eval_embeddings.neighbors(drawn, NUM_NEIGHBORS))
    values[AFTER] = trainer.eval_embeddings.query_values

    metrics = {BEFORE: before, AFTER: after}
    shorter = short_vector_scores(trainer.model, dataset["train"], trainer.eval_embeddings)

    folder = Path(str(args.output_dir)) / FINAL_FOLDER
    # Sharded weights are gathered by all processes; only the main one has a folder to keep.
    if not state.is_main_process:
        trainer.save_model(str(folder))
        _part(state)
        return folder
    results = run_results(trainer, trained.metrics, dataset, left_out, model_args, facts, metrics, values)
    results |= {} if shorter is None else {"short_vectors": shorter}
    with whole_folder(folder) as partial:
        trainer.save_model(str(partial))
        strip, results["picture"] = draw_strip(
            evaluator, drawn, neighbors, [_caption(*each) for each in metrics.items()]
        )
        strip.save(partial / PICTURE_NAME)
        save_curves(results, partial)
        results["formats"] = formats_in(partial)
        _write_card(partial, results)
    print(_report(results, folder, facts.next_command))  # noqa: T201 (the recipes' result is for the screen)
    _part(state)
    if score_more is not None:
        _write_card(folder, results | dict(score_more(folder)))
    if args.push_to_hub:
        publish_run(folder, trainer)
    return folder


def _write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the results, and the card and the leaderboard's file that say the same."""
    write_json(folder / RESULTS_NAME, results)
    write_model_card(folder, results, PICTURE_NAME, CURVES_NAME if (folder / CURVES_NAME).exists() else None)
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


def _check_measurable(metrics: Mapping[str, float]) -> None:
    """Check that a query has something to find: else every score is NaN, and no checkpoint the best."""
    if metrics["eval_num_queries_without_positive"] == metrics["eval_num_queries"]:
        raise ValueError(
            f"none of the {metrics['eval_num_queries']} test images has another one of its class to be found by, so "
            "that nothing can be measured: give a test split (or query and gallery) with two images of a class"
        )


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
    advice = schedule_advice(results)
    length = f"Length       {advice}\n" if advice else ""
    return (
        f"\n{scores}\n\n{left_out}{length}"
        f"Checkpoint   {folder}\n"
        f"Model card   {folder / 'README.md'}\n"
        f"Picture      {folder / PICTURE_NAME}\n"
        f"Next         {next_command}"
    )
