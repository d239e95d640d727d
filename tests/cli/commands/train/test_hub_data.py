"""Training on a data set of the Hub, downloaded or streamed: the real client against the Hub stand-in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_vitret.data.preparation.prepared_folder import read_manifest
from hf_vitret.evaluation.reporting.report import EvaluationResult
from tests.cli.commands.next_command import next_command
from tests.hub_stand_in.stand_in import HubStandIn, running_hub
from tests.warm_process import run_warm
from tests.workflows.finetune import flow

PUSH = """
from datasets import Dataset, Features, Image, Value
from tests.training.runs import draw
classes = [row // 4 for row in range(32)]
images = [draw(kind, row).resize((80, 60)) for row, kind in enumerate(classes)]
rows = {"image": images, "kind": [f"k{kind}" for kind in classes]}
data = Dataset.from_dict(rows, features=Features(image=Image(), kind=Value("string")))
data.push_to_hub("ada/shapes", private=True, num_shards=2)
"""
COMMAND = "import sys; from hf_vitret.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStandIn]:
    """Give a Hub with a private data set: eight classes of four images, 80 pixels wide."""
    with running_hub(tmp_path_factory.mktemp("hub")) as stand_in:
        stand_in.run(PUSH, token=stand_in.token)
        yield stand_in


def train(hub: HubStandIn, tmp_path: Path, *line: str) -> tuple[Path, list[str]]:
    """Train; return the output folder and the command that comes next."""
    environment = hub.environment(tmp_path / "home", hub.token) | {"OMP_NUM_THREADS": "1"}
    line = ("train", "ada/shapes", "--label_column", "kind", "--output_dir", "out", *line)
    result = run_warm(COMMAND, *line, environment=environment, folder=tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert hub.token not in result.stdout + result.stderr
    return tmp_path / "out", next_command(result.stdout)


def test_downloaded(hub: HubStandIn, tmp_path: Path, quick: list[str]) -> None:
    first = hub.store.repositories["dataset", "ada/shapes"].resolve("main").oid
    output, command = train(hub, tmp_path, *quick, "--dataset_revision", first)
    results = flow.results_of(output / "final")
    assert results["title"] == "ada/shapes"
    assert {name: split["num_images"] for name, split in results["data"]["splits"].items()} == {"train": 16, "test": 16}
    assert {path.name for path in output.iterdir()} == {"final", "checkpoint-2", "run.yaml"}
    expected = ["evaluate", "ada/shapes", "--dataset_revision", first, "--label_column", "kind"]
    assert command == [*expected, "--model", str(output / "final")]


def test_streamed_by_two_processes_that_make_one_copy(
    hub: HubStandIn, tmp_path: Path, quick: list[str], run_here, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, command = train(hub, tmp_path, *quick, "--streaming", "--batch_size", "4", "--num_processes", "2")
    results = flow.results_of(output / "final")
    assert {name: split["num_images"] for name, split in results["data"]["splits"].items()} == {"train": 16, "test": 16}
    assert results["environment"]["processes"] == 2
    assert results["command"].endswith("--num_processes 2")
    assert "num_processes: 2" in (output / "run.yaml").read_text().splitlines()
    manifest = read_manifest(output / "images")
    assert manifest["settings"]["short_side"] == 37  # 256/224 of the 32 pixels that the model sees
    assert manifest["splits"]["train"]["num_source_images"] == 32
    assert not list(output.glob(".preparing*"))
    # The copies are all that the next command needs.
    monkeypatch.chdir(tmp_path)
    assert run_here(*command, "--output_dir", "evaluated").status == 0
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    assert evaluated.metrics == pytest.approx(results["scores"]["after training"], abs=1e-6)
