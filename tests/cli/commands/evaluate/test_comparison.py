"""`hf-vitret evaluate --compare`: two models on the same images of the same size, unless another size is asked for."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalEvaluator, ViTRetModel, load_model, load_retrieval_dataset
from hf_vitret.cli.main import main
from hf_vitret.evaluation.reporting.bootstrap import compare
from hf_vitret.evaluation.reporting.report import ComparisonResult, EvaluationResult
from tests.cli.commands.next_command import next_command

LINE = ["--ks", "1", "--num_resamples", "200", "--metrics", "map_at_r"]


def expected(model: ViTRetModel) -> torch.Tensor:
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir="photos"), metrics=["map_at_r"])
    return evaluator.query_metrics(evaluator.embed(model, evaluator.query, progress=False))["map_at_r"]


@pytest.mark.parametrize(
    ("options", "sizes_a", "sizes_b"),
    [
        ([], (24, 28), (24, 28)),
        (["--image_size", "16"], (16, 18), (16, 18)),
        (["--image_size", "16", "--resize_size", "20"], (16, 20), (16, 20)),
        (["--compare_image_size", "own"], (24, 28), (32, 37)),
        (["--compare_image_size", "40"], (24, 28), (40, 46)),
        (["--image_size", "16", "--compare_image_size", "24"], (16, 18), (24, 27)),
    ],
)
@pytest.mark.usefixtures("photos")
def test_sizes(
    options: list[str],
    sizes_a: tuple[int, int],
    sizes_b: tuple[int, int],
    backbone: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The checkpoint is for images of 24 pixels, and the backbone for 32."""
    line = ["-m", str(checkpoint), "--compare", str(backbone), "--pooling", "mean", *LINE, *options]
    assert main(["evaluate", "photos", *line]) == 0
    result = ComparisonResult.load("outputs/evaluation/comparison.json")
    found = [(each.protocol["image_size"], each.protocol["resize_size"]) for each in (result.result_a, result.result_b)]
    assert found == [sizes_a, sizes_b]
    values_a = expected(load_model(checkpoint, image_size=sizes_a[0], resize_size=sizes_a[1]))
    values_b = expected(load_model(backbone, pooling="mean", image_size=sizes_b[0], resize_size=sizes_b[1]))
    assert result.differences == {"map_at_r": compare(values_a, values_b, num_resamples=200)}
    out = capsys.readouterr().out
    name_a, name_b = "birds/final", f"{backbone.parent.name}/{backbone.name}"
    assert f"Compared     {name_a} at {sizes_a[0]} px and {name_b} at {sizes_b[0]} px\n" in out
    assert (f"Not the same: image_size, {sizes_a[0]} for a and {sizes_b[0]} for b\n" in out) == (sizes_a != sizes_b)


@pytest.mark.usefixtures("photos")
def test_what_is_written_and_printed(backbone: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-m", str(checkpoint), "--compare", str(backbone), *LINE, "-o", "here"]
    assert main(["evaluate", "photos", *line]) == 0
    result, comparison = EvaluationResult.load("here/evaluation.json"), ComparisonResult.load("here/comparison.json")
    assert comparison.result_a == result
    shown = capsys.readouterr().out
    assert comparison.table() in shown
    assert "Wrote        here/evaluation.json and here/comparison.json\n" in shown
    assert main([*next_command(shown), "--output_dir", "doctor"]) in (0, 1)

    capsys.readouterr()
    assert main(["evaluate", "photos", *line, "--false_match_rates", "0.1", "--json"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["evaluation"] == json.loads(Path("here/evaluation.json").read_text())
    assert content["comparison"] == json.loads(Path("here/comparison.json").read_text())
    assert content["files"] == ["here/evaluation.json", "here/match_rates.json", "here/comparison.json"]
    assert err.count("Evaluating ") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compare", "{checkpoint}"], "expected another model to compare with; got {checkpoint} and {checkpoint}"),
        (["--compare", "{checkpoint}/../final"], "which are the same"),
        (
            ["--compare", "{backbone}", "--compare_image_size", "large"],
            "expected a number of pixels, or 'own', for --compare_image_size; got 'large'",
        ),
    ],
)
@pytest.mark.usefixtures("photos", "no_embedding")
def test_what_is_refused(
    options: list[str], message: str, backbone: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [part.format(checkpoint=checkpoint, backbone=backbone) for part in options]
    assert main(["evaluate", "photos", "-m", str(checkpoint), *filled]) == 2
    assert message.format(checkpoint=checkpoint) in capsys.readouterr().err


@pytest.mark.usefixtures("photos")
def test_two_runs_whose_paths_end_alike_are_two_models(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "elsewhere" / checkpoint.parent.name / checkpoint.name
    shutil.copytree(checkpoint, other)
    assert main(["evaluate", "photos", "-m", str(checkpoint), "--compare", str(other), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)["comparison"]
    assert [content[f"result_{each}"]["model"] for each in "ab"] == [str(checkpoint), str(other)]
