"""Fine-tune a backbone on labelled images, score it before and after, and write the checkpoint with its card.

  hf-vitret train photos
  hf-vitret train products.csv --image_column file --label_column sku --output_dir outputs/products
  hf-vitret train user/photos --label_column category --model google/siglip-base-patch16-224 --pooling mean
  hf-vitret train sop --data_dir Stanford_Online_Products
  hf-vitret train photos --config run.yaml --max_steps 500
  hf-vitret train photos --num_processes 4
  hf-vitret train sfm120k --data_dir sfm120k --revisited_dir revisited

The data are a folder with a folder of images for each class, a table, a folder that hf-vitret prepare wrote, a data set
of the Hub, or a benchmark by its name, which has the settings of the paper as defaults. If the data have no test split,
half of the classes are set aside for testing; --test_fraction 0 trains on all classes and measures nothing. The command
writes <output_dir>/final (weights, configuration, image processor, model code, card, pictures, results.json) and
<output_dir>/run.yaml, which repeats the run with --config. --resume_from_checkpoint true continues an interrupted run.
Exit status: 0 if the model is trained; 1 if images were left out or the checkpoint was not published; 2 for bad input;
130 after Ctrl-C.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.launch_options import OPTIONS as LAUNCHES
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading
from ..training_runs import COPIES, resumes, train_classes, train_pairs

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from ...workflows.finetune.run_report import FinishedRun
    from ..options.parser import CommandParser
    from ..options.run_options import RunOptions
    from ..options.train_parser import TrainOptions

LEFT_OUT = 1  # exit status


def parse(arguments: Sequence[str], prog: str, **recipe: Any) -> Namespace:
    """Parse the command line.

    Args:
        arguments: The arguments after the name of the command.
        prog: Name of the command, for messages.
        **recipe: `data`, `description` and `settings` of a recipe, see `hf_vitret.cli.recipe.train`.
    """
    from argparse import Namespace

    from ..options.train_parser import parse_train

    is_recipe = bool(recipe)
    description = recipe.pop("description", None) or __doc__
    found = parse_train(arguments, prog=prog, description=description, add_more=add_output_options, **recipe)
    launching = [name for name in LAUNCHES if getattr(found.values, name) is not None]
    if is_recipe and launching:
        raise ValueError(f"expected no --{launching[0]} with a recipe: give it to accelerate launch")
    return Namespace(**vars(found.values), train=found)


def parser(prog: str) -> CommandParser:
    """Return a parser with the options for the user's own images."""
    from ..options.train_parser import own_parser

    return own_parser(prog, __doc__, add_output_options)


def run(options: Namespace) -> int:
    """Train, and print the scores and the files; return 1 if images were left out or a push failed."""
    from ...workflows.finetune.run_report import report_run

    output = output_of(options)
    finished = execute(options)
    if not finished.results:
        return 0  # not the main process
    run_file = settings_file(options)
    output.result(f"{report_run(finished)}\n{labelled(('Settings', str(run_file)))}", facts_of(finished, run_file))
    output.next(_next_command(options.train, finished))
    data = finished.results["data"]
    has_left_out = any(data["left_out"].values()) or any(one["is_image"] for one in data.get("left_out_files", []))
    return LEFT_OUT if has_left_out or finished.is_published is False else 0


def execute(options: Namespace) -> FinishedRun:
    """Train; every process calls this.

    Args:
        options: From `parse`.
    """
    from ...workflows.finetune.output_folder import choose_output_dir
    from ..options.run_options import RunOptions

    found: TrainOptions = options.train
    if not options.verbose:
        hide_loading()
    use_device(options)
    run_options: RunOptions = found.build(RunOptions)
    options.output_dir, reason = choose_output_dir(
        options.output_dir, data_title(found), overwrite=run_options.overwrite, resumes=resumes(options)
    )
    found.values.output_dir = options.output_dir
    say = output_of(options).say if os.environ.get("RANK", "0") == "0" else _silent
    if reason is not None:
        say(reason)
    train = train_pairs if found.has_pairs else train_classes
    return train(found, run_options, say)


def settings_file(options: Namespace) -> Path:
    """Return the path of the file of settings that repeats the run."""
    from ...workflows.finetune.output_folder import RUN_FILE

    return Path(options.output_dir) / RUN_FILE


def interruption(options: Namespace) -> str:
    """Describe what an interrupted run leaves, with the command that continues it."""
    from ...training.checkpoints.checkpoint_contents import newest_whole_checkpoint

    newest = None if options.output_dir is None else newest_whole_checkpoint(Path(options.output_dir))
    if newest is None:
        return "no checkpoint was written yet; the same command starts again"
    command = options.train.command("--output_dir", options.output_dir, "--resume_from_checkpoint", "true")
    return f"{newest} is whole; go on from it with: {shlex.join(command)}"


def use_device(options: Namespace) -> None:
    """Select the device of `--device` for the training.

    Raises:
        ValueError: This machine does not have the device, or several processes would share it.
    """
    from ...inference.devices import choose_device
    from ..options.train_parser import num_processes

    if options.device is None:
        return
    device = choose_device(options.device)
    if device.type == "cpu":
        options.train.values.use_cpu = True
    elif device.index is not None:
        if num_processes() > 1:
            raise ValueError(f"expected one process with --device {device}; got {num_processes()}, one for each GPU")
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)  # accelerate reads this


def data_title(found: TrainOptions) -> str:
    """Return the name of the data, for the card and the output folder."""
    from ...data.locating import locate_dataset

    if found.has_pairs:
        return "scenes" if found.values.demo else found.data
    return locate_dataset(found.data, found.values.data_dir).title


def _next_command(found: TrainOptions, finished: FinishedRun) -> list[str | Path]:
    """Return the command that scores the model on the same test images, or the one that publishes it."""
    from ...evaluation.metrics.metric_choice import DEFAULT_KS
    from ..options.data_options import DataOptions, data_arguments

    if found.has_pairs or not finished.results["scores"]:
        return ["hf-vitret", "publish", Path(finished.folder), "--dry_run"]
    options, values, data = found.build(DataOptions), found.values, found.data
    if values.streaming:  # the copies hold only what the options chose
        data = str(Path(values.output_dir) / COPIES)
        options = DataOptions(test_fraction=options.test_fraction, split_seed=options.split_seed)
    line = ["hf-vitret", "evaluate", *data_arguments(data, options), "--model", Path(finished.folder)]
    if values.on_bad_image != "error":
        line += ["--on_bad_image", values.on_bad_image]
    if list(values.eval_ks) != list(DEFAULT_KS):
        line += ["--ks", *map(str, values.eval_ks)]
    dtype = "bfloat16" if values.bf16 else "float16" if values.fp16 else None
    return line if dtype is None else [*line, "--dtype", dtype]


def facts_of(finished: FinishedRun, run_file: Path) -> dict[str, Any]:
    """Return the facts that `--json` prints."""
    return {
        "output_dir": str(run_file.parent),
        "checkpoint": str(finished.folder),
        "settings": str(run_file),
        "scores": finished.results["scores"],
        "left_out": finished.results["data"]["left_out"],
        "left_out_files": finished.results["data"].get("left_out_files", []),
        "is_published": finished.is_published,
    }


def _silent(text: str) -> None:
    """Print nothing, on all processes but the main one."""
