"""`hf-vitret export` as a command: what is written beside a checkpoint, what is said of it, and what does not fit."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from hf_vitret.cli.main import main
from hf_vitret.hub.export import onnx_graph
from tests.cli.commands.next_command import next_command
from tests.training.runs import draw, tiny_vit
from tests.workflows.finetune import flow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the job once on a tiny backbone."""
    root = tmp_path_factory.mktemp("export")
    return flow.run(root / "run", flow.save_backbone(root / "tiny-backbone"))


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "final"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write the test images of the run as folders, and as many classes beside them for training."""
    for split, classes in (("train", range(6)), ("test", range(6, 11))):
        for class_id in classes:
            target = tmp_path / "photos" / split / f"class {class_id}"
            target.mkdir(parents=True)
            for number in range(4):
                draw(class_id, number).save(target / f"{number}.png")
    return tmp_path / "photos"


def test_everything_at_once(folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"--sentence_transformers --int8 --endpoint --space --data {shlex.quote(str(photos))} --num_images 7"
    assert main(["export", str(folder), *shlex.split(line), "--title", "Things", "--repository", "ada/things"]) == 0
    said = capsys.readouterr().out
    results = flow.results_of(folder)
    assert results["formats"] == ["sentence-transformers", "onnx"]
    scores = results["int8"]["recall_at_1"]
    assert f"R@1          {100 * scores['mean_b']:.1f} in float32, {100 * scores['mean_a']:.1f} in int8\n" in said
    assert scores["mean_b"] == pytest.approx(results["scores"]["after training"]["recall_at_1"])
    for path in ("modules.json", "onnx/model.onnx", "onnx/model_int8.onnx", "handler.py", "space"):
        assert f"Wrote        {folder / path}" in said
        assert (folder / path).exists()
    settings = json.loads((folder / "space" / "space.json").read_text())
    assert (settings["title"], settings["model"], settings["revision"]) == ("Things", "ada/things", "main")
    assert "neighbours among 7 images" in (folder / "space" / "README.md").read_text()
    command = next_command(said)
    assert command == ["publish", str(folder), "--dry_run"]
    assert main(command) == 0
    listed = capsys.readouterr().out
    assert "onnx/model_int8.onnx" in listed
    assert "space/" not in listed


def test_one_thing_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name for path in folder.iterdir()}
    assert main(["export", str(folder), "--sentence_transformers", "--no-copy_weights"]) == 0
    said = capsys.readouterr().out
    assert f'SentenceTransformer("{folder}", trust_remote_code=True)' in said
    assert main(next_command(said)) == 0
    written = {path.name for path in folder.iterdir()} - before
    assert written == {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"}


def test_a_checkpoint_without_a_card_is_not_sent_to_publish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_vit().save_pretrained(tmp_path)
    assert main(["export", str(tmp_path), "--endpoint"]) == 0
    assert capsys.readouterr().out == f"Wrote        {tmp_path / 'handler.py'}\n"


def test_a_graph_that_is_not_scored_says_how(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(onnx_graph, "export_onnx", lambda _, *of, **how: asked.append((of, how)) or Path("model.onnx"))
    assert main(["export", str(folder), "--int8"]) == 0
    assert "Not scored   the 8-bit graph; name the images of the run by --data\n" in capsys.readouterr().out
    assert asked == [((folder / "onnx",), {"dynamic_size": False, "quantize_int8": True})]
    assert "int8" not in flow.results_of(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected one or more of --sentence_transformers, --onnx, --int8, --endpoint, --space; got none"),
        ("--space", "expected --data with --space: the images are not named"),
        ("--int8 --test_split x", "expected --data with --test_split: the images are not named"),
        ("--onnx --data .", "expected --int8 or --space with --data: nothing else looks at images; leave it out"),
        (
            "--int8 --data sop --data_dir x --test_split x",
            "expected --test_split with images of your own only; got it with sop: leave it out",
        ),
        ("--space --data nowhere", "expected images in 'nowhere', and found none"),
        ("--onnx --no-copy_weights", "expected --sentence_transformers with --copy_weights, which is a setting of it"),
        ("--endpoint --dynamic_size", "expected --onnx with --dynamic_size, which is a setting of it"),
        ("--endpoint --device cpu", "expected --onnx with --device, which is a setting of it"),
        ("--onnx --title x", "expected --space with --title, which is a setting of it"),
        ("--onnx --num_images 0", "expected --space with --num_images, which is a setting of it"),
        ("--space --data . --num_images 0", "expected --num_images of 1 or more; got 0"),
        ("--space --data . --model_revision v1", "expected --repository with --model_revision"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), *shlex.split(line)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["--sentence_transformers", "--onnx", "--endpoint"])
def test_no_checkpoint_no_export(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "no"), kind]) == 2
    assert capsys.readouterr().err.startswith("error: expected a ")


def test_json_is_all_that_is_printed_of_the_folder_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(folder.parent), "--endpoint", "--sentence_transformers", "--json"]) == 0
    out, err = capsys.readouterr()
    files = [str(folder / "modules.json"), str(folder / "handler.py")]
    assert json.loads(out) == {"checkpoint": str(folder), "files": files}
    assert next_command(err) == ["publish", str(folder), "--dry_run"]


def test_an_interruption_says_what_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_graph, "export_onnx", interrupt)
    line = ["export", str(folder), "--sentence_transformers", "--onnx"]
    assert main(line) == 130
    kept = f"interrupted: the files that were written in {folder} are whole; the same command writes them again"
    assert kept in capsys.readouterr().err
    assert (folder / "modules.json").is_file()
    monkeypatch.undo()
    assert main(line) == 0
