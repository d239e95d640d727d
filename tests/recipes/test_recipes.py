"""Each recipe is short, says what it takes, shows the settings that `hf-vitret train` has, and starts."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hf_vitret.cli.commands import train as command
from hf_vitret.data.locating import PAIRS
from hf_vitret.workflows.finetune.presets import PRESETS
from hf_vitret.workflows.finetune.run_report import FinishedRun
from tests import ROOT
from tests.cli.commands.train.conftest import draw_photos
from tests.cli.commands.train.test_sources import write_hard_images
from tests.workflows.finetune import flow

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.py"))}
DATA = {name: name.removeprefix("train_") for name in RECIPES}
LINE = {"train_catalogue": ["photos"], "train_icons": []}  # of the others: --data_dir
MAX_LINES = 40


def line_of(name: str) -> list[str]:
    return LINE.get(name, ["--data_dir", "somewhere"])


def same_command(name: str) -> list[str]:
    """Return what follows `hf-vitret` in the command that the docstring says is the same."""
    doc = runpy.run_path(str(RECIPES[name]))["__doc__"]
    (same,) = re.findall(r"^Same as: +(hf-vitret train .*)$", doc, re.MULTILINE)
    return shlex.split(same.partition(" (")[0])[1:]


@pytest.fixture
def options_of(start, monkeypatch: pytest.MonkeyPatch):
    """Give the function that starts a recipe up to the training, and returns its options."""

    def read(name: str, *line: str) -> dict[str, Any]:
        calls = []
        with monkeypatch.context() as patch:
            finished = FinishedRun(Path("x"), {}, None)
            patch.setattr(command, "execute", lambda options: calls.append(options) or finished)
            assert start(name, *line) == 0
        (options,) = calls
        return vars(options.train.values)

    return read


def test_there_is_one_for_each_data_set_of_the_paper_and_for_ones_own() -> None:
    assert RECIPES.keys() == {f"train_{name}" for name in ("catalogue", "cub", "icons", "inshop", "sfm120k", "sop")}


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_short_and_says_what_it_takes(name: str, options_of) -> None:
    text = RECIPES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    for entry in ("Paper:", "Command:", "Same as:", "Hardware:", "Hours:", "Score:"):
        assert re.search(rf"^{entry} +\S", text, re.MULTILINE), entry
    (first, *_) = re.findall(r"^Command: +accelerate launch recipes/(\w+)\.py ?(.*)$", text, re.MULTILINE)
    assert first[0] == name
    # It parses, and is the same run as the command of the package.
    found = options_of(name, *shlex.split(first[1]))
    assert found["data"] == (DATA[name] if name != "train_catalogue" else "photos")


@pytest.mark.parametrize("name", RECIPES)
def test_its_settings_are_those_of_the_package(name: str, options_of) -> None:
    """Those that it shows, and those that it leaves out."""
    same = same_command(name)
    expected = vars(command.parse(same[1:], "hf-vitret train").train.values)
    has_own_data = name == "train_catalogue"  # which its command line names, as that of the package
    assert options_of(name, *same[1 if has_own_data else 2 :]) == expected
    shown = runpy.run_path(str(RECIPES[name])).get("SETTINGS", {})
    assert {setting: expected[setting] for setting in shown} == shown
    preset = PRESETS[DATA[name]].settings
    assert preset.keys() <= shown.keys() or name == f"train_{PAIRS}"


@pytest.mark.parametrize("name", RECIPES)
def test_import_does_nothing(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["anything", "--not-an-option"])
    runpy.run_path(str(RECIPES[name]))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", RECIPES)
def test_help(name: str, start, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(name, "--help") == 0
    shown = capsys.readouterr().out
    assert runpy.run_path(str(RECIPES[name]))["__doc__"].strip() in shown
    assert "--koleo_weight" in shown
    assert "--pooling" in shown


@pytest.mark.parametrize("name", RECIPES)
def test_each_setting_is_an_option_of_it(name: str, options_of) -> None:
    found = options_of(name, *line_of(name), "--learning_rate", "0.5", "--image_size", "48", "-b", "70", "--seed", "3")
    expected = {"learning_rate": 0.5, "image_size": 48, "per_device_train_batch_size": 70, "seed": 3}
    assert {setting: found[setting] for setting in expected} == expected


@pytest.mark.parametrize("name", RECIPES)
def test_processes_are_the_launchers_business(name: str, start, capsys) -> None:
    assert start(name, *line_of(name), "--num_processes", "2") == 2
    assert capsys.readouterr().err == "error: expected no --num_processes with a recipe: give it to accelerate launch\n"


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in LINE])
def test_without_data_it_says_what_to_get(name: str, start, capsys, tmp_path: Path) -> None:
    assert start(name) == 2
    assert capsys.readouterr().err.startswith(f"error: expected --data_dir with {DATA[name]}: ")
    assert start(name, "--data_dir", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert not list(tmp_path.rglob("final"))


def test_one_starts_by_accelerate(backbone: Path, tmp_path: Path) -> None:
    write_hard_images(draw_photos(tmp_path / "photos"))
    accelerate = shutil.which("accelerate", path=str(Path(sys.executable).parent))
    assert accelerate is not None
    line = [accelerate, "launch", "--config_file", ROOT / "recipes" / "accelerate" / "cpu.yaml"]
    line += [RECIPES["train_catalogue"], "photos", "--output_dir", "out put", "--model", backbone, "--image_size", "32"]
    line += ["--max_steps", "2", "--eval_steps", "2", "--save_steps", "2", "-b", "8", "--images_per_class", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # the package, and not the tests
    result = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    output = tmp_path / "out put"
    assert {path.name for path in output.iterdir()} == {"checkpoint-2", "final", "run.yaml"}
    results = flow.results_of(output / "final")
    splits = results["data"]["splits"]
    assert splits["train"]["num_images"] + splits["test"]["num_images"] == 8 * 4 + 8
    assert "left out 1 folders without images: nothing here yet" in result.stderr
    assert results["environment"]["processes"] == 1
    (last,) = [line for line in result.stdout.splitlines() if line.startswith("Next ")]
    assert shlex.split(last)[1:6] == [
        "hf-vitret",
        "evaluate",
        str(tmp_path / "photos"),
        "--model",
        str(output / "final"),
    ]


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
