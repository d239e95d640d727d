"""Fine-tuning on a data set of the Hub, downloaded or streamed: the real client against the Hub stand-in."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_vitret.data.preparation.prepared_folder import read_manifest
from tests.hub_stand_in.stand_in import HubStandIn, running_hub
from tests.recipes.conftest import ROOT
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


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStandIn]:
    """Give a Hub with a private data set: eight classes of four images, 80 pixels wide."""
    with running_hub(tmp_path_factory.mktemp("hub")) as stand_in:
        stand_in.run(PUSH, token=stand_in.token)
        yield stand_in


def train(hub: HubStandIn, tmp_path: Path, quick: list[str], *line: str, launcher: tuple[str, ...] = ()) -> Path:
    command = [*(launcher or (sys.executable,)), str(ROOT / "recipes" / "train_catalogue.py")]
    command += ["--dataset_name", "ada/shapes", "--label_column", "kind", "--output_dir", "out", *quick, *line]
    environment = hub.environment(tmp_path / "home", hub.token) | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    assert hub.token not in result.stdout + result.stderr
    return tmp_path / "out"


def test_downloaded(hub: HubStandIn, tmp_path: Path, quick: list[str]) -> None:
    first = hub.store.repositories["dataset", "ada/shapes"].resolve("main").oid
    output = train(hub, tmp_path, quick, "--dataset_revision", first)
    results = flow.results_of(output / "final")
    assert results["title"] == "ada/shapes"
    assert {name: split["num_images"] for name, split in results["data"]["splits"].items()} == {"train": 16, "test": 16}
    assert not list(output.glob("images-*"))


def test_streamed_by_two_processes_that_make_one_copy(hub: HubStandIn, tmp_path: Path, quick: list[str]) -> None:
    halved = ("--per_device_train_batch_size", "4")
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    output = train(hub, tmp_path, quick, "--streaming", "--use_cpu", "true", *halved, launcher=launcher)
    results = flow.results_of(output / "final")
    assert {name: split["num_images"] for name, split in results["data"]["splits"].items()} == {"train": 16, "test": 16}
    assert results["environment"]["processes"] == 2
    manifest = read_manifest(output / "images-37")  # 256/224 of the 32 pixels that the model sees
    assert manifest["settings"]["short_side"] == 37
    assert manifest["splits"]["train"]["num_source_images"] == 32
    assert not list(output.glob(".preparing*"))


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "expected --data_dir .images of this machine. or --dataset_name .of the Hub., one of them"),
        (["--data_dir", "x", "--dataset_name", "user/x"], "expected --data_dir"),
        (["--data_dir", "x", "--streaming"], "--streaming is for a data set of the Hub: give its --dataset_name"),
    ],
)
def test_sources_that_do_not_go_together(line: list[str], message: str, quick: list[str], run_recipe) -> None:
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        run_recipe("train_catalogue", "--output_dir", "out", *quick, *line)


def test_copies_have_the_size_that_the_model_resizes_to(backbone: Path, tmp_path: Path, recipe, tiny_model) -> None:
    module = recipe("train_catalogue")
    tiny_model.config.resize_size = 41
    tiny_model.save_pretrained(tmp_path / "checkpoint")
    for arguments, side in [
        ({"backbone": str(backbone)}, 256),
        ({"backbone": str(backbone), "image_size": 112}, 128),
        ({"backbone": str(backbone), "resize_size": 300}, 300),
        ({"backbone": str(tmp_path / "checkpoint")}, 41),
    ]:
        assert module.resize_size(module.ModelArguments(**arguments)) == side
