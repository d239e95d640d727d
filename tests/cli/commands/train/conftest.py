"""`hf-vitret train` in this process: eight classes of drawn images, a tiny backbone, and a folder to work in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_vitret import RetrievalTrainer
from hf_vitret.cli.main import main
from tests.training.runs import draw
from tests.workflows.finetune import flow


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Give the function that runs `hf-vitret` with a command line."""

    def with_line(*line: object) -> Ended:
        capsys.readouterr()
        status = main([str(part) for part in line])
        return Ended(status, *capsys.readouterr())

    return with_line


@pytest.fixture
def run(run_here: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ended]:
    """Give the function that runs `hf-vitret` with a command line, in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return run_here


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, **__: object) -> None:
        raise AssertionError("training has started")

    monkeypatch.setattr(RetrievalTrainer, "train", train)


def draw_photos(root: Path) -> Path:
    """Draw a folder for each of eight classes, with four images in each."""
    for class_id in range(8):
        folder = root / f"class {class_id}"
        folder.mkdir(parents=True)
        for image in range(4):
            draw(class_id, image).save(folder / f"{image}.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos")


@pytest.fixture
def quick(backbone: Path) -> list[str]:
    """Give the options of a run of two steps on the tiny backbone."""
    line = [
        "--model",
        str(backbone),
        "--image_size",
        "32",
        "--max_steps",
        "2",
        "--eval_steps",
        "2",
        "--save_steps",
        "2",
    ]
    return [*line, "--batch_size", "8", "--images_per_class", "2", "--bf16", "false", "--disable_tqdm", "true"]
