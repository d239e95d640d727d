"""The runs of `hf-vitret train`, on images with a class each and on pairs, from parsed options to a checkpoint."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from ..workflows.finetune.data_facts import DataFacts
    from ..workflows.finetune.run_report import FinishedRun
    from .options.data_options import ChosenData
    from .options.run_options import RunOptions
    from .options.train_parser import TrainOptions

COPIES = "images"  # folder in the output folder for the small copies of a streamed data set


def resumes(options: Namespace) -> bool:
    """Return whether the run continues from a checkpoint."""
    return str(options.resume_from_checkpoint or "false").lower() != "false"


def train_classes(found: TrainOptions, run_options: RunOptions, say: Callable[[str], None]) -> FinishedRun:
    """Train on images with a class each."""
    from ..data.catalogue.left_out import collecting
    from ..training.training_args import RetrievalTrainingArguments
    from ..workflows.finetune.arguments import ModelArguments
    from ..workflows.finetune.finetune import finetune
    from .options.data_options import DataOptions, choose_data

    model_args, args = found.build(ModelArguments), found.build(RetrievalTrainingArguments)
    chosen = choose_data(found.build(DataOptions), found.data)
    _check_hub_options(run_options, chosen)
    hub_id, name = chosen.location.hub_id, found.preset.title or chosen.title
    facts = _facts_of_card(found, run_options, model_args.base_model, name=name, dataset_id=hub_id)
    _write_run_file(found)
    if _takes_demo_backbone(found):
        from ..workflows.finetune.demo_backbone import dinov2_small

        model_args.model = dinov2_small(say)
    further: dict[str, Any] = {}
    if run_options.streaming:
        further = {"streaming": True, "short_side": model_args.find_resize_size()}
        further["prepared_dir"] = Path(str(args.output_dir)) / COPIES
    with collecting() as left_out:
        dataset = chosen.load(**further)
    facts = dataclasses.replace(facts, left_out_files=left_out.to_json())
    trusted = run_options.trusted_images or chosen.name == "icons"
    return finetune(dataset, model_args, args, facts, trusted_images=trusted, say=say)


def train_pairs(found: TrainOptions, run_options: RunOptions, say: Callable[[str], None]) -> FinishedRun:
    """Train on pairs of images of particular objects."""
    from ..data.locating import locate_dataset
    from ..training.tuples.arguments import TupleTrainingArguments
    from ..workflows.finetune.arguments import ModelArguments
    from ..workflows.finetune.demo_backbone import HUB_ID, dinov2_small
    from ..workflows.finetune.landmarks import LandmarkOptions, finetune_on_landmarks, make_scenes

    model_args, args = found.build(ModelArguments), found.build(TupleTrainingArguments)
    options: LandmarkOptions = found.build(LandmarkOptions)
    base_model = model_args.base_model
    if options.demo:
        if found.values.data_dir or options.revisited_dir:
            raise ValueError("expected no --data_dir and --revisited_dir with --demo, which makes its own data")
        data_dir = str(Path(str(args.output_dir)) / "scenes")
        _write_run_file(found)
        make_scenes(Path(data_dir), say)
        if _takes_demo_backbone(found):
            base_model, model_args.model = HUB_ID, dinov2_small(say)
    else:
        data_dir = str(locate_dataset(found.data, found.values.data_dir).data_dir)
        _write_run_file(found)
    facts = _facts_of_card(found, run_options, base_model, name=found.preset.title)
    trusted = run_options.trusted_images or options.demo
    return finetune_on_landmarks(data_dir, options, model_args, args, facts, trusted_images=trusted, say=say)


def _check_hub_options(run_options: RunOptions, chosen: ChosenData) -> None:
    """Check that options for a data set of the Hub are given with one."""
    given = [name for name in ("streaming", "benchmark_task") if getattr(run_options, name)]
    if given and chosen.location.hub_id is None:
        raise ValueError(f"expected --{given[0]} with a data set of the Hub only, user/name; leave it out")


def _facts_of_card(
    found: TrainOptions, run_options: RunOptions, base_model: str | None, *, name: str, dataset_id: str | None = None
) -> DataFacts:
    """Collect the facts about the images and the weights for the card."""
    from ..workflows.finetune.data_facts import DataFacts

    revision = found.values.dataset_revision
    benchmark = None
    if run_options.benchmark_task is not None:
        benchmark = {"id": dataset_id, "tasks": {run_options.benchmark_task: "recall_at_1"}}
        benchmark |= {} if revision is None else {"revision": revision}
    return DataFacts(
        name=name,
        license=run_options.data_license or found.preset.license,
        command=_card_command(found),
        base_model=base_model,
        model_license=run_options.model_license or ("apache-2.0" if _takes_demo_backbone(found) else None),
        model_license_name=run_options.model_license_name,
        model_license_link=run_options.model_license_link,
        dataset=found.preset.benchmark,
        dataset_id=dataset_id,
        revision=revision,
        benchmark=benchmark,
    )


def _takes_demo_backbone(found: TrainOptions) -> bool:
    """Return whether the run is a demo without a `--model`, for which a backbone is fetched."""
    is_demo = found.values.demo if found.has_pairs else found.data == "icons"
    return is_demo and "model" not in found.given


def _card_command(found: TrainOptions) -> str:
    """Return the command that repeats the run, without local paths and tokens, for publication."""
    from ..hub.private_strings import without_paths

    return shlex.join([without_paths(part) for part in found.command()])


def _write_run_file(found: TrainOptions) -> None:
    """Write the file of settings before the run starts, and remove the checkpoints of a run that it replaces."""
    from .. import __version__
    from ..files.atomic_writes import write_text
    from ..workflows.finetune.output_folder import RUN_FILE, remove_checkpoints
    from .options.config_file import config_text
    from .options.train_parser import num_processes, plain_settings

    if os.environ.get("RANK", "0") != "0":
        return
    path = Path(found.values.output_dir) / RUN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    if found.values.overwrite and not resumes(found.values):
        remove_checkpoints(path.parent)
    settings = {"data": found.data, **plain_settings(found.kept)}
    if num_processes() > 1:
        settings["num_processes"] = num_processes()
    comment = f"hf_vitret {__version__}. To repeat this run: hf-vitret train --config {shlex.quote(str(path))}"
    write_text(path, config_text(settings, comment))
