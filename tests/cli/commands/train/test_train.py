"""`hf-vitret train` on a folder of images: what it prints and writes, how it is repeated, stopped and gone on with."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from hf_vitret import RetrievalTrainer, ViTRetModel
from hf_vitret.cli.main import main
from hf_vitret.cli.options import launch_options
from hf_vitret.cli.options.data_options import ChosenData
from hf_vitret.evaluation.reporting.report import EvaluationResult
from hf_vitret.workflows.finetune import demo_backbone
from tests.cli.commands.next_command import next_command
from tests.cli.commands.train.conftest import draw_photos
from tests.training.runs import shapes_dataset
from tests.workflows.finetune import flow

WRITTEN = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json", "results.json", "retrieval.png"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> tuple[Path, str]:
    """Run once in a folder; give the folder and what was printed."""
    folder = tmp_path_factory.mktemp("first")
    draw_photos(folder / "photos")
    printed = folder / "printed"
    with pytest.MonkeyPatch.context() as patch, printed.open("w") as stream:
        patch.chdir(folder)
        patch.setattr("sys.stdout", stream)
        line = ["-m", str(backbone), "--image_size", "32", "--max_steps", "2", "--eval_steps", "2", "--save_steps", "2"]
        line += ["-b", "8", "--images_per_class", "2", "--bf16", "false", "--disable_tqdm", "true"]
        assert main(["train", "photos", *line]) == 0
    return folder, printed.read_text()


@pytest.fixture
def work(first: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the folder of the first run, to work in."""
    shutil.copytree(first[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def weights_of(folder: Path | str) -> bytes:
    return (Path(folder) / "final" / "model.safetensors").read_bytes()


def test_it_writes_a_checkpoint_with_its_card_and_says_where(first: tuple[Path, str]) -> None:
    folder, printed = first
    output = folder / "outputs" / "photos"
    assert {path.name for path in output.iterdir()} == {"checkpoint-2", "final", "run.yaml"}
    assert {path.name for path in (output / "final").iterdir()} >= WRITTEN
    assert printed.splitlines()[-5:] == [
        "Checkpoint   outputs/photos/final",
        "Model card   outputs/photos/final/README.md",
        "Picture      outputs/photos/final/retrieval.png",
        "Settings     outputs/photos/run.yaml",
        f"Next         hf-vitret evaluate {folder / 'photos'} --model {output / 'final'}",
    ]
    assert "after training" in printed
    card = (output / "final" / "README.md").read_text()
    assert "`hf-vitret train photos --model " in card
    assert str(folder) not in card


def test_the_next_command_measures_what_the_run_has_measured(first: tuple[Path, str], work: Path) -> None:
    assert main([*next_command(first[1]), "--output_dir", "evaluated"]) == 0
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    results = flow.results_of(Path("outputs/photos/final"))
    assert evaluated.metrics == pytest.approx(results["scores"]["after training"], abs=1e-12)
    assert evaluated.protocol.items() >= results["protocol"].items()


def test_its_file_repeats_it_beside_it(work: Path, run_here) -> None:
    """To the same weights, in a folder of its own, and leaves the first run as it is."""
    before = weights_of("outputs/photos")
    settings = yaml.safe_load(Path("outputs/photos/run.yaml").read_text())
    assert {
        "data": "photos",
        "max_steps": 2,
        "bf16": False,
        "per_device_train_batch_size": 8,
    }.items() <= settings.items()
    comment = Path("outputs/photos/run.yaml").read_text().splitlines()[0]
    assert comment.endswith("To repeat this run: hf-vitret train --config outputs/photos/run.yaml")
    ended = run_here("train", "--config", "outputs/photos/run.yaml", "--json")
    assert ended.status == 0
    found = json.loads(ended.out)
    assert (found["output_dir"], found["settings"]) == ("outputs/photos-2", "outputs/photos-2/run.yaml")
    assert found["scores"] == flow.results_of(Path("outputs/photos-2/final"))["scores"]
    assert (found["checkpoint"], found["left_out"], found["is_published"]) == ("outputs/photos-2/final", {}, None)
    reason = "outputs/photos holds a finished run, so this one goes to outputs/photos-2 (--overwrite replaces it)"
    assert reason in ended.err.splitlines()
    assert next_command(ended.err) == [
        "evaluate",
        str(work / "photos"),
        "--model",
        str(work / "outputs/photos-2/final"),
    ]
    assert weights_of("outputs/photos-2") == before == weights_of("outputs/photos")
    assert yaml.safe_load(Path("outputs/photos-2/run.yaml").read_text()) == settings
    # What the command line says wins.
    ended = run_here("train", "-c", "outputs/photos/run.yaml", "--seed", "7", "--quiet", "-o", "other")
    assert (ended.status, "Checkpoint   other/final" in ended.out, "Next" in ended.out) == (0, True, False)
    assert weights_of("other") != before
    assert yaml.safe_load(Path("other/run.yaml").read_text()) == {**settings, "seed": 7}


def test_a_finished_run_is_replaced_by_overwrite_alone(work: Path, run_here) -> None:
    before = weights_of("outputs/photos")
    line = ["train", "-c", "outputs/photos/run.yaml", "--seed", "7", "-q", "-o", "outputs/photos"]
    for more in ([], ["--resume_from_checkpoint", "true"]):
        ended = run_here(*line, *more)
        assert ended.status == 2
        assert ended.err == (
            "error: expected an --output_dir without a run; outputs/photos holds a finished run: --overwrite replaces "
            "it; or name another folder\n"
        )
        assert weights_of("outputs/photos") == before
    Path("outputs/photos/checkpoint-1").mkdir()  # of an older run
    assert run_here(*line, "--overwrite").status == 0
    assert weights_of("outputs/photos") != before
    assert {path.name for path in Path("outputs/photos").iterdir()} == {"checkpoint-2", "final", "run.yaml"}
    assert "overwrite" not in Path("outputs/photos/run.yaml").read_text()


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C come at the start of a step."""
    original = RetrievalTrainer.training_step

    def training_step(self, *inputs, **settings):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return original(self, *inputs, **settings)

    monkeypatch.setattr(RetrievalTrainer, "training_step", training_step)


def test_after_ctrl_c_the_printed_command_goes_on_to_the_same_weights(work: Path, run_here) -> None:
    line = ["train", "-c", "outputs/photos/run.yaml", "--max_steps", "4", "-q"]
    assert run_here(*line, "-o", "whole").status == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(2, patch)
        ended = run_here(*line, "-o", "my runs/one")
    assert ended.status == 130
    message, command = ended.err.splitlines()[-1].split("; go on from it with: ")
    assert message == "interrupted: my runs/one/checkpoint-2 is whole"
    assert run_here(*line, "-o", "my runs/one").err.startswith(
        "error: expected an --output_dir without a run; my runs/one holds a run that was interrupted: "
        "--resume_from_checkpoint true --output_dir 'my runs/one' goes on with it, and --overwrite replaces it"
    )
    arguments = next_command(f"Next {command}")
    assert main(arguments) == 0
    assert weights_of("my runs/one") == weights_of("whole")
    assert {path.name for path in Path("my runs/one").iterdir()} == {
        "checkpoint-2",
        "checkpoint-4",
        "final",
        "run.yaml",
    }


def test_ctrl_c_before_there_is_a_checkpoint(photos: Path, quick: list[str], run, monkeypatch) -> None:
    interrupt_at(0, monkeypatch)
    ended = run("train", photos, *quick)
    assert ended.status == 130
    assert ended.err.splitlines()[-1] == "interrupted: no checkpoint was written yet; the same command starts again"
    monkeypatch.undo()


def test_on_all_classes_nothing_is_measured(photos: Path, quick: list[str], run) -> None:
    ended = run("train", photos, *quick, "--test_fraction", "0")
    assert ended.status == 0
    assert "Scores       none: all classes were trained on, and there are no images to test on" in ended.out
    assert "Evaluating" not in ended.out
    results = flow.results_of(Path("outputs/photos/final"))
    assert results["data"]["splits"]["train"]["num_images"] == 32
    assert (set(results["data"]["splits"]), results["scores"]) == ({"train"}, {})
    assert next_command(ended.out) == ["publish", str(Path("outputs/photos/final").absolute()), "--dry_run"]
    assert main(next_command(ended.out)) == 0


def test_a_loss_of_ones_own(photos: Path, quick: list[str], run) -> None:
    Path("my_loss.py").write_text(
        "from hf_vitret.losses import ContrastiveLoss\n\n\nclass Mine(ContrastiveLoss):\n    pass\n"
    )
    assert run("train", photos, *quick, "-q", "-o", "own", "--loss", "my_loss:Mine", "--margin", "0.4").status == 0
    assert run("train", photos, *quick, "-q", "-o", "usual", "--margin", "0.4").status == 0
    assert weights_of("own") == weights_of("usual")
    assert yaml.safe_load(Path("own/run.yaml").read_text())["loss"] == "my_loss:Mine"
    assert flow.results_of(Path("own/final"))["training"]["loss"] == "my_loss:Mine"
    ended = run("train", photos, *quick, "-o", "none", "--loss", "my_loss:Yours")
    assert (ended.status, "expected a class Yours in the module my_loss" in ended.err) == (2, True)


def test_images_left_out_are_status_1_and_go_into_the_next_command(photos: Path, quick: list[str], run) -> None:
    for broken in photos.glob("*/3.png"):
        broken.write_bytes(b"not an image")
    ended = run("train", photos, *quick, "--on_bad_image", "skip", "--eval_ks", "1", "5", "--split_seed", "4")
    assert ended.status == 1
    assert "Left out     4 of train, 4 of test: images that cannot be read" in ended.out
    command = next_command(ended.out)
    assert command[:2] == ["evaluate", str(photos)]
    final = str(Path("outputs/photos/final").absolute())
    assert command[2:] == [*["--split_seed", "4", "--model", final, "--on_bad_image", "skip", "--ks", "1", "5"]]
    assert main([*command, "--output_dir", "evaluated"]) == 1
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    scores = flow.results_of(Path("outputs/photos/final"))["scores"]["after training"]
    assert evaluated.metrics == pytest.approx(scores, abs=1e-12)


def test_the_folder_of_a_run_is_a_model_to_train_further(work: Path, quick: list[str], run_here) -> None:
    ended = run_here("train", "photos", *quick, "--model", "outputs/photos", "--learning_rate", "0", "-q", "-o", "more")
    assert ended.status == 0
    first, second = (load_file(Path(name) / "final" / "model.safetensors") for name in ("outputs/photos", "more"))
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)
    assert ViTRetModel.from_pretrained("more/final").config.image_size == 32


def test_icons_take_the_demos_backbone(backbone: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_backbone, "dinov2_small", lambda say: say("Weights: here") or str(backbone))
    monkeypatch.setattr(ChosenData, "load", lambda self: shapes_dataset())
    line = ["--max_steps", "2", "--eval_steps", "2", "--save_steps", "2", "-b", "8", "--disable_tqdm", "true"]
    ended = run("train", "icons", *line)
    assert ended.status == 0, ended.err
    assert ended.out.startswith("Weights: here\n")
    card = Path("outputs/icons/final/README.md").read_text()
    assert "base_model: facebook/dinov2-small" in card
    assert "license: apache-2.0" in card
    assert backbone.name not in card
    model = ViTRetModel.from_pretrained("outputs/icons/final")
    assert (model.config.image_size, model.config.resize_size) == (56, 64)
    assert "model: facebook/dinov2-small" in Path("outputs/icons/run.yaml").read_text().splitlines()
    assert next_command(ended.out)[:4] == ["evaluate", "icons", "--min_drawings", "3"]


@pytest.mark.parametrize(
    "line", [["-n", "2"], ["--accelerate_config", "c.yaml"], ["-n", "1", "--accelerate_config", "c.yaml"]]
)
def test_the_launcher_is_started_once(line: list[str], photos: Path, run, monkeypatch) -> None:
    """Not by the processes that it has started."""
    calls: list[tuple[str, list[str]]] = []
    Path("c.yaml").touch()
    monkeypatch.setattr(launch_options, "launch", lambda name, rest, _: calls.append((name, rest)) or 7)
    assert run("train", photos, *line).status == 7
    assert calls == [("train", [str(photos), *line])]
    assert list(Path().iterdir()) == [Path("c.yaml")]
    monkeypatch.setenv("LOCAL_RANK", "0")
    ended = run("train", photos, *line)
    assert (ended.status, len(calls)) == (2, 1)
    assert "in a process that a launcher has started: give it to the launcher" in ended.err


def test_completion_knows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print_completion", "bash"]) == 0
    script = capsys.readouterr().out
    (options,) = [line for line in script.splitlines() if line.startswith("_shtab_hf_vitret_train_option_strings")]
    known = set(options.partition("=")[2].strip("()").replace("'", "").split())
    assert {"--koleo_weight", "--config", "-n", "--batch_size", "--label_column"} <= known
