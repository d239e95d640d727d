"""Each recipe parses, says what it takes, carries the paper's settings, and lets each be overridden."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hf_vitret import ViTRetModel
from hf_vitret.workflows.finetune import benchmark
from tests.recipes.conftest import ROOT
from tests.training.runs import shapes_dataset

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("train_*.py"))
BY_CLASS = [name for name in RECIPES if name != "train_sfm120k"]  # that one is trained on tuples: its own tests


@pytest.fixture
def intercepted(recipe, monkeypatch: pytest.MonkeyPatch):
    """Give the function that runs a recipe up to `finetune`, and returns what it would be called with."""

    def run(name: str, *line: str) -> tuple[Any, ...]:
        module, calls = recipe(name), []
        where = benchmark if name in BENCHMARKS else module
        monkeypatch.setattr(where, "load_retrieval_dataset", lambda *_, **__: shapes_dataset())
        monkeypatch.setattr(where, "finetune", lambda *inputs, **_: calls.append(inputs))
        monkeypatch.setattr(sys, "argv", [f"recipes/{name}.py", *line])
        module.main()
        (call,) = calls
        return call

    return run


def test_there_are_recipes() -> None:
    assert {"train_catalogue", "train_cub", "train_icons", "train_inshop", "train_sop"} <= set(RECIPES)


@pytest.mark.parametrize("name", [*RECIPES, "dinov2_small"])
def test_import_does_nothing(name: str, recipe, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["anything", "--not-an-option"])
    before = set(sys.modules)
    recipe(name)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
    assert not {"onnx", "qtawesome", "matplotlib"} & (set(sys.modules) - before)


@pytest.mark.parametrize("name", RECIPES)
def test_help(name: str, run_recipe, recipe, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_recipe(name, "--help")
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert recipe(name).__doc__.strip() in shown
    assert "--koleo_weight" in shown
    assert "--pooling" in shown


@pytest.mark.parametrize("name", RECIPES)
def test_docstring_says_what_it_takes(name: str, recipe) -> None:
    doc = recipe(name).__doc__
    for entry in ("Paper:", "Command:", "Hardware:", "Hours:", "Score:"):
        assert re.search(rf"^{entry} +\S", doc, re.MULTILINE), entry
    assert f"accelerate launch recipes/{name}.py" in doc


PAPER = {
    "per_device_train_batch_size": 64,
    "max_steps": 35_000,
    "learning_rate": 3e-5,
    "weight_decay": 5e-4,
    "margin": 0.5,
    "koleo_weight": 0.7,
    "koleo_neighbors": "all",
    "memory_size": None,  # as large as the training set: tests/training/test_trainer.py
    "memory_momentum": 0.0,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 0.0,
    "eval_ks": [1, 10, 100, 1000],
}
PAPER_MODEL = {
    "backbone": "facebook/deit-small-distilled-patch16-224",
    "pooling": "cls",
    "embedding_dim": None,
    "image_size": 224,
}


# What the paper does otherwise than on Stanford Online Products.
BENCHMARKS: dict[str, dict[str, Any]] = {
    "train_sop": {},
    "train_inshop": {"memory_size": 0.2, "memory_momentum": 0.999, "eval_ks": [1, 10, 20, 30]},
    "train_cub": {"max_steps": 2000, "eval_ks": [1, 2, 4, 8, 10]},
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_have_the_papers_settings(name: str, intercepted) -> None:
    _, model, args, facts = intercepted(name)
    assert {name: getattr(args, name) for name in PAPER} == PAPER | BENCHMARKS[name]
    assert {name: getattr(model, name) for name in PAPER_MODEL} == PAPER_MODEL
    assert args.optim in ("adamw_torch", "adamw_torch_fused")
    assert facts.base_model == PAPER_MODEL["backbone"]


OTHERS = {
    "per_device_train_batch_size": 32,
    "max_steps": 7000,
    "learning_rate": 1e-4,
    "weight_decay": 0.1,
    "margin": 0.25,
    "koleo_weight": 0.3,
    "koleo_neighbors": "negatives",
    "memory_size": 512,
    "memory_momentum": 0.9,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 10,
    "max_grad_norm": 1.0,
    "eval_ks": [1, 5],
    "backbone": "facebook/dinov2-small",
    "pooling": "gem",
    "embedding_dim": 128,
    "image_size": 112,
    "gem_p": 4.0,
    "gem_learnable": True,
    "resize_size": 120,
    "resize_mode": "square",
    "memory_weight": 0.5,
    "images_per_class": 2,
    "augmentation": "random_resized_crop",
    "flip": 0.25,
    "bf16": False,
    "eval_steps": 100,
    "save_steps": 100,
    "output_dir": "elsewhere",
    "seed": 3,
}


@pytest.mark.parametrize("name", BY_CLASS)
def test_every_setting_is_a_flag(name: str, intercepted) -> None:
    assert PAPER.keys() | PAPER_MODEL.keys() <= OTHERS.keys()
    listed = {flag: value if isinstance(value, list) else [value] for flag, value in OTHERS.items()}
    line = [part for flag, values in listed.items() for part in (f"--{flag}", *map(str, values))]
    line += ["--data_dir", "somewhere"] if name != "train_icons" else []
    _, model, args, facts = intercepted(name, *line)
    for flag, value in OTHERS.items():
        assert getattr(model if hasattr(model, flag) else args, flag) == value, flag
    assert facts.base_model == "facebook/dinov2-small"
    assert shlex.split(facts.command) == ["accelerate", "launch", f"recipes/{name}.py", *line]


@pytest.mark.parametrize("name", BY_CLASS)
def test_a_backbone_in_a_folder_is_not_named_as_a_base_model(name: str, intercepted, backbone: Path) -> None:
    line = ["--backbone", str(backbone)] + (["--data_dir", "somewhere"] if name != "train_icons" else [])
    _, model, _, facts = intercepted(name, *line)
    assert model.backbone == str(backbone)
    assert facts.base_model is None


def test_sop_without_data_says_where_to_get_it(run_recipe) -> None:
    with pytest.raises(SystemExit) as stop:
        run_recipe("train_sop")
    where, layout, without = str(stop.value.code).splitlines()
    assert where.startswith("error: Stanford Online Products is not at data_dir='Stanford_Online_Products'. Get ")
    assert "Stanford_Online_Products.zip" in where
    assert "Ebay_train.txt" in layout
    assert without == "To train without any download: accelerate launch recipes/train_icons.py"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_data_it_says_what_to_get_and_what_to_do_instead(name: str, run_recipe) -> None:
    with pytest.raises(SystemExit, match=r"^error: [^\n]+ is not at data_dir='[^']+'\. [^\n]+\n.*data_dir=.*\n.*icons"):
        run_recipe(name)


def test_sop_without_data_exits_with_1_and_no_traceback(tmp_path: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "recipes" / "train_sop.py"],
        **{"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False},
    )
    assert result.returncode == 1
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_icons_take_the_demos_backbone(recipe, monkeypatch, backbone: Path, tmp_path: Path, capsys) -> None:
    module = recipe("train_icons")
    monkeypatch.setattr(module, "dinov2_small", lambda: str(backbone))
    monkeypatch.setattr(module, "load_retrieval_dataset", lambda *_, **__: shapes_dataset())
    line = ["--output_dir", str(tmp_path), "--max_steps", "2", "--eval_steps", "2", "--save_steps", "2"]
    line += ["--per_device_train_batch_size", "8", "--disable_tqdm", "true"]
    monkeypatch.setattr(sys, "argv", ["recipes/train_icons.py", *line])
    module.main()
    card = (tmp_path / "final" / "README.md").read_text()
    assert "base_model: facebook/dinov2-small" in card
    assert str(backbone) not in card
    model = ViTRetModel.from_pretrained(tmp_path / "final")
    assert (model.config.image_size, model.config.resize_size) == (56, 64)
    assert "Next         accelerate launch recipes/train_catalogue.py" in capsys.readouterr().out


CONFIGS = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_hardware_files_hold_keys_that_accelerate_knows(path: Path) -> None:
    settings = yaml.safe_load(path.read_text())
    load_config_from_file(str(path))  # refuses a key of the top level that it does not know
    known = {action.dest for action in launch_command_parser()._actions}
    assert settings.pop("fsdp_config", {}).keys() <= known
    assert isinstance(settings["num_processes"], int)
    assert settings["mixed_precision"] in ("no", "bf16")
    for name in ("distributed_type", "mixed_precision"):
        assert isinstance(settings[name], str), name  # an unquoted NO is False


def test_there_is_a_file_for_each_kind_of_hardware() -> None:
    assert {path.stem for path in CONFIGS} == {"cpu", "single_gpu", "multi_gpu", "fsdp"}
