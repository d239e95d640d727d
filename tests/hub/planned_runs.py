"""Cards of training runs that have not been made yet, with settings taken from the recipes themselves.

`python -m tests.hub.planned_runs` writes these cards in `model_cards/` again.
"""

import json
import runpy
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from datasets import Dataset, DatasetDict

from hf_vitret import ViTRetConfig
from hf_vitret.cli import recipe as cli_recipe
from hf_vitret.cli.commands import train
from hf_vitret.data import loading
from hf_vitret.data.benchmarks import cub, inshop, sop
from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from hf_vitret.hub.model_card import write_model_card
from hf_vitret.workflows.finetune import finetune as job
from hf_vitret.workflows.finetune import landmarks, particular_objects
from hf_vitret.workflows.finetune.run_report import FinishedRun
from hf_vitret.workflows.finetune.run_results import TRAINED_PARTS, run_settings
from tests import ROOT
from tests.training.runs import shapes_dataset

PLAN_NAME = "plan.json"


@dataclass(frozen=True)
class PlannedRun:
    """A training run that has not been made yet.

    Attributes:
        name: Name of the data set; `recipes/train_<name>.py` makes the run.
        options: Options of its command line.
        embedding_dim: Width of the backbone as the paper states it, because the backbone is not loaded here.
        counts: (images, classes) of each split, as the authors of the data set state them.
    """

    name: str
    options: tuple[str, ...]
    embedding_dim: int
    counts: dict[str, tuple[int, int]]


# Folder in `model_cards/` -> run. SfM-120k has no counts, because its classes are known only from its own files.
PLANNED = {
    "deit-small-sop": PlannedRun("sop", ("--data_dir", "Stanford_Online_Products"), 384, sop.OFFICIAL_COUNTS),
    "deit-small-inshop": PlannedRun(
        "inshop", ("--data_dir", "In-shop Clothes Retrieval Benchmark"), 384, inshop.OFFICIAL_COUNTS
    ),
    "deit-small-cub": PlannedRun("cub", ("--data_dir", "CUB_200_2011.tgz"), 384, cub.OFFICIAL_COUNTS),
    "deit-small-sfm120k": PlannedRun("sfm120k", ("--data_dir", "sfm120k", "--revisited_dir", "revisited"), 384, {}),
}


def captured(planned: PlannedRun) -> tuple[Any, ...]:
    """Run the recipe up to the call of `finetune`, and return the model, settings and facts that it passes."""
    calls: list[tuple[Any, ...]] = []
    drawn = shapes_dataset()

    def record(*inputs: Any, **_: Any) -> FinishedRun:
        calls.append(inputs)
        return FinishedRun(Path(), {}, None)

    def run_command(name: str, arguments: list[str], **recipe: Any) -> int:
        """Train as the command does, in a folder that is removed, and without its bars and messages."""
        with tempfile.TemporaryDirectory() as folder:
            train.execute(train.parse([*arguments, "--output_dir", folder, "--quiet"], f"hf-vitret {name}", **recipe))
        return 0

    stand_ins = {
        (cli_recipe, "run_command"): run_command,
        (train, "hide_loading"): lambda: None,
        (job, "finetune"): record,
        (particular_objects, "finetune"): record,
        (loading, "load_retrieval_dataset"): lambda *_, **__: drawn,
        (landmarks, "load_sfm120k"): lambda *_, **__: DatasetDict(train=drawn["train"], val=drawn["test"]),
        (landmarks, "load_sfm120k_pairs"): lambda *_: {"train": Dataset.from_dict({"anchor": [0], "positive": [1]})},
        (landmarks, "load_evaluators"): lambda *_, **__: {},
    }
    recipe = ROOT / "recipes" / f"train_{planned.name}.py"
    with ExitStack() as patches:
        for (module, name), stand_in in stand_ins.items():
            patches.enter_context(patch.object(module, name, stand_in))
        patches.enter_context(patch.object(sys, "argv", [str(recipe), *planned.options]))
        patches.enter_context(suppress(SystemExit))
        runpy.run_path(str(recipe), run_name="__main__")
    ((_, *call),) = calls
    return tuple(call)


def plan(planned: PlannedRun) -> dict[str, Any]:
    """Make the part of the run's `results.json` that is known before the run: all but what is measured."""
    model, args, facts = captured(planned)
    config = ViTRetConfig(
        image_size=model.image_size, resize_size=model.resize_size, resize_mode=model.resize_mode, pooling=model.pooling
    )
    num_train = planned.counts["train"][0] if planned.counts else 1
    settings = run_settings(args, num_train, args.step_images)
    machine_dependent = {"bf16", "fp16"}
    return {
        "title": facts.name,
        "data": {
            "name": facts.dataset,
            "license": facts.license,
            "splits": {
                name: {"num_images": images, "num_classes": classes}
                for name, (images, classes) in planned.counts.items()
            },
        },
        "base_model": facts.base_model,
        "backbone": model.base_model,
        "model_license": facts.model_license,
        "command": facts.command,
        "model": {
            "embedding_dim": planned.embedding_dim,
            **{name: getattr(config, name) for name in ("pooling", "image_size", "resize_size", "resize_mode")},
        },
        "scores": {},
        "paper": PAPER_FIGURES[facts.dataset],
        "training": {name: value for name, value in settings.items() if name not in machine_dependent}
        | {name: getattr(model, name) for name in TRAINED_PARTS},
    }


def write(folder: Path, planned: PlannedRun) -> None:
    """Write the plan and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    found = plan(planned)
    (folder / PLAN_NAME).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    write_model_card(folder, found)


if __name__ == "__main__":
    for name, planned in PLANNED.items():
        write(ROOT / "model_cards" / name, planned)
