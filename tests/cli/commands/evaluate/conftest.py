"""An empty folder to work in, with drawn images in it, a tiny backbone and a checkpoint."""

from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalEvaluator
from tests.training.runs import draw, tiny_vit
from tests.workflows.finetune import flow

NUM_CLASSES, NUM_IMAGES = 6, 4


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder with `photos`: a folder for each of six classes, with four images in each."""
    monkeypatch.chdir(tmp_path)
    for class_id in range(NUM_CLASSES):
        folder = tmp_path / "photos" / f"class {class_id}"
        folder.mkdir(parents=True)
        for image in range(NUM_IMAGES):
            draw(class_id, image).save(folder / f"{image}.png")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a checkpoint for images of 24 pixels, in the folder of a run; its weights are not the backbone's."""
    folder = tmp_path_factory.mktemp("runs") / "birds" / "final"
    model = tiny_vit()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    model.config.image_size, model.config.resize_size = 24, 28
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def no_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetrievalEvaluator, "embed", lambda *_, **__: pytest.fail("embedding has started"))
