"""In-Shop from beginning to end: the official format in small, a query set that searches a gallery."""

import zipfile
from pathlib import Path

import pytest

from hf_vitret.cli.main import main
from hf_vitret.data.benchmarks.inshop import OFFICIAL_COUNTS
from hf_vitret.evaluation.reporting.report import EvaluationResult
from tests.cli.commands.next_command import next_command
from tests.training.runs import draw
from tests.workflows.finetune import flow

TRAINED, SOUGHT = range(1, 13), range(13, 18)


@pytest.fixture
def inshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write twelve items of four images to train on, and five with one query and three images in the gallery."""
    folder = tmp_path / "In-shop Clothes Retrieval Benchmark"
    (folder / "Eval").mkdir(parents=True)
    (folder / "Img").mkdir()
    lines = []
    with zipfile.ZipFile(folder / "Img" / "img.zip", "w") as archive:
        for item in (*TRAINED, *SOUGHT):
            for image in range(4):
                name = f"img/WOMEN/Dresses/id_{item:08d}/{image:02d}_1_front.jpg"
                status = "train" if item in TRAINED else "gallery" if image else "query"
                lines.append(f"{name:<80}id_{item:08d} {status}")
                with archive.open(name, "w") as stream:
                    draw(item, image).save(stream, "JPEG")
    content = "\n".join([str(len(lines)), "image_name item_id evaluation_status", *lines]) + "\n"
    (folder / "Eval" / "list_eval_partition.txt").write_text(content)
    for split, counts in (("train", (48, 12)), ("query", (5, 5)), ("gallery", (15, 5))):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, counts)
    return folder


def test_whole_run(inshop: Path, quick: list[str], run) -> None:
    ended = run("train", "inshop", "--data_dir", inshop, "--output_dir", "out", *quick)
    assert ended.status == 0, ended.err
    results = flow.results_of(Path("out/final"))
    assert results["title"] == "In-Shop Clothes Retrieval"
    sizes = {name: split["num_images"] for name, split in results["data"]["splits"].items()}
    assert sizes == {"train": 48, "query": 5, "gallery": 15}
    assert results["scores"]["after training"]["num_queries"] == 5
    assert results["training"]["memory_size"] == 9  # a fifth of 48
    assert results["training"]["memory_momentum"] == 0.999
    assert main([*next_command(ended.out), "--output_dir", "evaluated"]) == 0
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    assert evaluated.metrics == pytest.approx(results["scores"]["after training"], abs=1e-12)


@pytest.mark.usefixtures("no_training")
def test_a_part_of_the_data_is_refused(inshop: Path, quick: list[str], run, monkeypatch) -> None:
    monkeypatch.setitem(OFFICIAL_COUNTS, "gallery", (12_612, 3_985))
    ended = run("train", "inshop", "--data_dir", inshop, "--output_dir", "out", *quick)
    assert ended.status == 2
    assert "expected 12,612 images of 3,985 classes in gallery, found 15 of 5" in ended.err
