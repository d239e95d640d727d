"""Recipes as modules, a tiny backbone, and command lines run in this process."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hf_vitret import RetrievalTrainer
from tests import ROOT
from tests.training.runs import draw
from tests.workflows.finetune import flow


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Give the function that imports a recipe by name, afresh, as `python recipes/<name>.py` finds it."""

    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(ROOT / "recipes")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


@pytest.fixture
def evaluate_recipe() -> ModuleType:
    """Give `recipes/evaluate.py` as a module, under another name: the package `evaluate` has this one."""
    spec = importlib.util.spec_from_file_location("evaluate_recipe", ROOT / "recipes" / "evaluate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_recipe(
    recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """Give the function that runs a recipe with a command line, in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(name: str, *line: str) -> None:
        module = recipe(name)
        monkeypatch.setattr(sys, "argv", [f"recipes/{name}.py", *line])
        module.main()

    return run


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, **__: object) -> None:
        raise AssertionError("training has started")

    monkeypatch.setattr(RetrievalTrainer, "train", train)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Draw a folder for each of eight classes, with four images in each."""
    root = tmp_path / "photos"
    for class_id in range(8):
        folder = root / f"class {class_id}"
        folder.mkdir(parents=True)
        for image in range(4):
            draw(class_id, image).save(folder / f"{image}.png")
    return root


@pytest.fixture
def quick(backbone: Path) -> list[str]:
    """Give the options of a run of two steps on the tiny backbone."""
    return [
        *["--backbone", str(backbone), "--image_size", "32", "--max_steps", "2", "--eval_steps", "2"],
        *[
            "--save_steps",
            "2",
            "--per_device_train_batch_size",
            "8",
            "--images_per_class",
            "2",
            "--disable_tqdm",
            "true",
        ],
    ]


@pytest.fixture
def environment() -> dict[str, str]:
    """Give the environment of a recipe in a process of its own: recipes import the package, not the tests."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
