"""CUB from beginning to end: the official archive in small, species apart."""

import io
import tarfile
from pathlib import Path

import pytest

from hf_vitret.cli.main import main
from hf_vitret.data.benchmarks.cub import OFFICIAL_COUNTS
from hf_vitret.evaluation.reporting.report import EvaluationResult
from tests.cli.commands.next_command import next_command
from tests.training.runs import draw
from tests.workflows.finetune import flow

SPECIES = (1, 2, 99, 100, 101, 102, 199, 200)  # of 200, four on each side


@pytest.fixture
def cub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the archive, with four images of each of the species."""
    names = [f"{number:03d}.Bird_{number}" for number in range(1, 201)]
    files: dict[str, bytes] = {}
    paths, labels = [], []
    for species in SPECIES:
        for image in range(4):
            paths.append(f"{len(paths) + 1} {names[species - 1]}/Bird_{image:04d}_{species}.jpg")
            labels.append(f"{len(paths)} {species}")
            stream = io.BytesIO()
            draw(species, image).save(stream, "JPEG")
            files[f"images/{paths[-1].split()[1]}"] = stream.getvalue()
    lists = {"images.txt": paths, "image_class_labels.txt": labels}
    lists["classes.txt"] = [f"{number} {name}" for number, name in enumerate(names, start=1)]
    files |= {name: ("\n".join(lines) + "\n").encode() for name, lines in lists.items()}
    with tarfile.open(tmp_path / "CUB_200_2011.tgz", "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"CUB_200_2011/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    for split in ("train", "test"):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, (16, 4))
    return tmp_path / "CUB_200_2011.tgz"


def test_whole_run(cub: Path, quick: list[str], run) -> None:
    ended = run("train", "cub", "--data_dir", cub, "--output_dir", "out", *quick)
    assert ended.status == 0, ended.err
    results = flow.results_of(Path("out/final"))
    assert results["title"] == "CUB-200-2011"
    assert {name: split["num_images"] for name, split in results["data"]["splits"].items()} == {"train": 16, "test": 16}
    assert results["data"]["num_shared_classes"] == 0
    assert results["scores"]["after training"]["num_queries"] == 16
    assert results["training"]["memory_size"] == 16  # the training set
    assert (cub.parent / "CUB_200_2011" / "images.txt").is_file()
    assert main([*next_command(ended.out), "--output_dir", "evaluated"]) == 0
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    assert evaluated.metrics == pytest.approx(results["scores"]["after training"], abs=1e-12)
    assert next_command(ended.out)[-6:] == ["--ks", "1", "2", "4", "8", "10"]


@pytest.mark.usefixtures("no_training")
def test_a_part_of_the_data_is_refused(cub: Path, quick: list[str], run, monkeypatch) -> None:
    monkeypatch.setitem(OFFICIAL_COUNTS, "test", (5_924, 100))
    ended = run("train", "cub", "--data_dir", cub, "--output_dir", "out", *quick)
    assert ended.status == 2
    assert "expected 5,924 images of 100 classes in test, found 16 of 4" in ended.err
