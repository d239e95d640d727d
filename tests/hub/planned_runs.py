"""Cards of training runs that have not been made yet, with settings taken from the recipes themselves.

`python -m tests.hub.planned_runs` writes these cards in `model_cards/` again.
"""

import importlib
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from datasets import Dataset, DatasetDict

from hf_vitret import ViTRetConfig
from hf_vitret.data.benchmarks import cub, inshop, sop
from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from hf_vitret.hub.model_card import write_model_card
from hf_vitret.workflows.finetune import benchmark, particular_objects
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

    def record(*inputs: Any, **_: Any) -> None:
        calls.append(inputs)

    drawn = shapes_dataset()
    stand_ins = {
        "load_sfm120k": lambda *_, **__: DatasetDict(train=drawn["train"], val=drawn["test"]),
        "load_sfm120k_pairs": lambda *_: {"train": Dataset.from_dict({"anchor": [0], "positive": [1]})},
        "load_evaluators": lambda *_, **__: {},
    }
    with ExitStack() as patches:
        patches.enter_context(patch.object(sys, "path", [str(ROOT / "recipes"), *sys.path]))
        patches.enter_context(patch.object(sys, "argv", [f"recipes/train_{planned.name}.py", *planned.options]))
        patches.enter_context(patch.object(benchmark, "load_retrieval_dataset", lambda *_, **__: drawn))
        for module in (benchmark, particular_objects):
            patches.enter_context(patch.object(module, "finetune", record))
        recipe = importlib.import_module(f"train_{planned.name}")
        for name, stand_in in stand_ins.items():
            if hasattr(recipe, name):
                patches.enter_context(patch.object(recipe, name, stand_in))
        recipe.main()
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
