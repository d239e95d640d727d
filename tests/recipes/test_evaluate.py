"""Any model on any data set, from the command line to the files, and what can go wrong before the work starts."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalEvaluator, ViTRetModel, load_retrieval_dataset
from hf_vitret.cli import evaluate
from hf_vitret.cli.main import main as cli
from hf_vitret.evaluation.post_processing import PostProcessedSearch
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare
from hf_vitret.evaluation.reporting.report import ComparisonResult, EvaluationResult
from hf_vitret.workflows.evaluate import evaluated_data
from tests.training.runs import draw, shapes_dataset


@pytest.fixture
def recipe(evaluate_recipe):
    return evaluate_recipe


@pytest.fixture
def run(recipe, monkeypatch, tmp_path):
    """Give the function that runs the recipe with a command line, in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def with_options(*line: str) -> None:
        monkeypatch.setattr(sys, "argv", ["recipes/evaluate.py", *map(str, line)])
        recipe.main()

    return with_options


@pytest.fixture
def no_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(*_: object, **__: object) -> None:
        raise AssertionError("embedding has started")

    monkeypatch.setattr(RetrievalEvaluator, "embed", embed)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a ViTRet checkpoint in a folder, other weights than the backbone's."""
    from tests.training.runs import tiny_vit

    folder = tmp_path_factory.mktemp("runs") / "final"
    model = tiny_vit()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    model.save_pretrained(folder)
    return folder


def _expected(model: ViTRetModel, photos: Path) -> dict[str, torch.Tensor]:
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir=photos), ks=[1, 5])
    return evaluator.query_metrics(evaluator.embed(model, evaluator.query, progress=False))


def test_a_backbone_alone(run, backbone: Path, photos: Path, capsys) -> None:
    run("--model", backbone, "--data_dir", photos, "--ks", 5, 1, "--image_size", 32, "--bootstrap_seed", 4)
    result = EvaluationResult.load("outputs/evaluation/evaluation.json")
    values = _expected(ViTRetModel.from_backbone(backbone, image_size=32), photos)
    assert 0 < values["map_at_r"].mean() < 1
    for name, scores in values.items():
        assert result.intervals[name] == bootstrap_interval(scores, seed=4)
        assert result.metrics[name] == pytest.approx(float(scores.mean()), abs=1e-14)
    assert result.model == f"{backbone.parent.name}/{backbone.name}"
    protocol = {name: result.protocol[name] for name in ("data_set", "image_size", "resize_size", "pooling", "dtype")}
    assert protocol == {
        "data_set": "photos",
        "image_size": 32,
        "resize_size": 37,
        "pooling": "cls",
        "dtype": "float32",
    }
    assert (result.protocol["num_queries"], result.protocol["num_gallery"]) == (16, 16)
    shown = capsys.readouterr().out
    assert result.table() in shown
    assert "Wrote        outputs/evaluation/evaluation.json\n" in shown
    assert str(photos.parent) not in Path("outputs/evaluation/evaluation.json").read_text()


def test_a_checkpoint_against_a_backbone(run, backbone: Path, checkpoint: Path, photos: Path, capsys) -> None:
    line = ["--data_dir", photos, "--ks", 1, "--num_resamples", 200, "--backbone_pooling", "mean"]
    run("--model", checkpoint, "--compare", backbone, "--output_dir", "here", "--metrics", "map_at_r", *line)
    result, comparison = EvaluationResult.load("here/evaluation.json"), ComparisonResult.load("here/comparison.json")
    assert comparison.result_a == result
    assert (result.protocol["pooling"], comparison.result_b.protocol["pooling"]) == ("cls", "mean")
    values_a = _expected(ViTRetModel.from_pretrained(checkpoint), photos)["map_at_r"]
    values_b = _expected(ViTRetModel.from_backbone(backbone, pooling="mean"), photos)["map_at_r"]
    assert comparison.differences == {"map_at_r": compare(values_a, values_b, num_resamples=200)}
    shown = capsys.readouterr().out
    assert comparison.table() in shown
    assert "Wrote        here/evaluation.json and here/comparison.json\n" in shown
    # The command shown last is one that parses.
    command = shlex.split(shown.splitlines()[-1].removeprefix("Next"))
    assert command[:2] == ["hf-vitret", "doctor"]
    assert cli([*command[1:], "--output_dir", "doctor"]) in (0, 1)


def test_queries_against_a_gallery_in_half_precision(run, checkpoint: Path, tmp_path: Path) -> None:
    for split, images in (("train", (0, 6)), ("query", (1, 2)), ("gallery", (3, 4, 5))):
        for class_id in range(4):
            folder = tmp_path / "sets" / split / f"class {class_id}"
            folder.mkdir(parents=True)
            for image in images:
                draw(class_id, image).save(folder / f"{image}.png")
    line = ["--dtype", "bfloat16", "--ties", "expected", "--metrics", "recall_at_k", "--ks", 2, "--num_resamples", 50]
    run("--model", checkpoint, "--data_dir", tmp_path / "sets", "--trusted_images", *line)
    protocol = EvaluationResult.load("outputs/evaluation/evaluation.json").protocol
    assert (protocol["num_queries"], protocol["num_gallery"]) == (8, 12)
    assert (protocol["dtype"], protocol["ties"]) == ("bfloat16", "expected")


def test_a_search_with_a_step_after_embedding(run, backbone: Path, photos: Path) -> None:
    run("--model", backbone, "--data_dir", photos, "--ks", 1, 5, "--rerank", "query_expansion", "--rerank_neighbors", 2)
    result = EvaluationResult.load("outputs/evaluation/evaluation.json")
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir=photos), ks=[1, 5])
    vectors = evaluator.embed(ViTRetModel.from_backbone(backbone), evaluator.query, progress=False)
    values = PostProcessedSearch(evaluator, "query_expansion", 2).query_metrics(vectors)
    assert result.intervals == {name: bootstrap_interval(scores) for name, scores in values.items()}
    assert (result.protocol["post_processing"], result.protocol["num_neighbors"]) == ("query_expansion", 2)


def test_images_that_cannot_be_read(run, backbone: Path, photos: Path, capsys) -> None:
    for broken in photos.glob("*/3.png"):
        broken.write_bytes(b"not an image")
    line = ["--model", backbone, "--data_dir", photos, "--num_resamples", 50]
    with pytest.raises(SystemExit, match=r"^error: test: 4 of 16 images cannot be read"):
        run(*line)
    run(*line, "--on_bad_image", "skip")
    protocol = EvaluationResult.load("outputs/evaluation/evaluation.json").protocol
    assert protocol["unreadable_images"] == {"test": 4}
    assert protocol["num_queries"] == 12


def test_other_data_sets_by_name(run, backbone: Path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(
        evaluated_data, "load_retrieval_dataset", lambda *a, **k: calls.append((a, k)) or shapes_dataset()
    )
    run("--model", backbone, "--dataset", "sop", "--data_dir", "there", "--num_resamples", 50)
    line = ["--dataset_name", "user/photos", "--dataset_revision", "v1", "--dataset_config", "large"]
    run("--model", backbone, "--num_resamples", 50, "--label_column", "kind", *line)
    run("--model", backbone, "--dataset", "icons", "--num_resamples", 50, "--min_drawings", 3)
    of_the_hub = {"dataset_name": "user/photos", "revision": "v1", "dataset_config": "large", "label_column": "kind"}
    assert calls == [
        (("sop",), {"data_dir": "there"}),
        (("catalogue",), {"data_dir": None} | of_the_hub),
        (("icons",), {"data_dir": None, "min_drawings": 3}),
    ]
    assert EvaluationResult.load("outputs/evaluation/evaluation.json").protocol["data_set"] == "icons"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "expected --data_dir"),
        (["--data_dir", "nowhere"], "nowhere"),
        (["--dataset", "sop", "--dataset_name", "a/b"], "--dataset_name is for a data set of the Hub"),
        (["--dataset", "sop", "--dataset_config", "a"], "--dataset_config is for a data set of the Hub"),
        (["--dataset", "sop", "--test_split", "x"], "sop takes no --test_split"),
        (["--data_dir", "{photos}", "--ks", "0"], "ks must be integers of at least 1"),
        (["--data_dir", "{photos}", "--rerank_neighbors", "3"], "--rerank_neighbors is a setting of --rerank"),
        (["--data_dir", "{photos}", "--rerank", "diffusion", "--rerank_neighbors", "0"], "num_neighbors must be at"),
        (["--data_dir", "{photos}", "--rerank", "diffusion", "--ties", "expected"], "ties must be pessimistic for"),
        (["--data_dir", "{photos}", "--confidence", "95"], "between 0 and 1, got 95.0"),
        (["--data_dir", "{photos}", "--image_size", "64", "--resize_size", "32"], "resize_size must be at least"),
        (["--data_dir", "{photos}", "--compare", "{backbone}"], "another model to compare with"),
        (["--data_dir", "{photos}", "--compare", "no/such"], "expected a model in no/such"),
    ],
)
@pytest.mark.usefixtures("no_embedding")
def test_what_is_wrong_is_said_before_the_work(line, message, run, backbone: Path, photos: Path) -> None:
    filled = [part.format(photos=photos, backbone=backbone) for part in line]
    with pytest.raises(SystemExit, match="^error: .*" + re.escape(message)):
        run("--model", backbone, *filled)
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("no_embedding")
def test_several_processes_are_refused(run, backbone: Path, photos: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match=r"expected one process; got 2: .*--num_processes 1"):
        run("--model", backbone, "--data_dir", photos)


def test_help_and_docstring(run, recipe, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert stop.value.code == 0
    assert recipe.__doc__.strip() in capsys.readouterr().out
    for entry in ("Paper:", "Command:", "Hardware:", "Hours:", "Score:"):
        assert re.search(rf"^{entry} +\S", recipe.__doc__, re.MULTILINE), entry


@pytest.mark.parametrize("model", ["facebook/dinov2-small", "some/model"])
def test_the_next_command_compares_with_another_model(model, recipe) -> None:
    line = ["--model", model, "--data_dir", "my photos", "--ks", "5", "1", "--trusted_images"]
    first = recipe.command_line().parse_args(line)
    python, script, *rest = shlex.split(evaluate.next_command(first, ("python", "recipes/evaluate.py")))
    assert (python, script) == ("python", "recipes/evaluate.py")
    options = recipe.command_line().parse_args(rest)
    assert options.compare not in (None, options.model)
    assert vars(options) == {**vars(first), "compare": options.compare}
