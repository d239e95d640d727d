"""Whatever a name stands for, what comes back embeds images."""

import doctest
from pathlib import Path

import pytest
import torch

from hf_vitret import ViTRetModel, embed_images
from hf_vitret.inference import load_model as module
from hf_vitret.inference.load_model import load_model, model_name
from tests.training.runs import draw, tiny_vit
from tests.workflows.finetune import flow


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give a plain backbone and a ViTRet checkpoint, in folders."""
    folder = tmp_path_factory.mktemp("models")
    model = tiny_vit()
    model.config.pooling = "mean"
    model.save_pretrained(folder / "run" / "final")
    return {"backbone": flow.save_backbone(folder / "backbone"), "checkpoint": folder / "run" / "final"}


@pytest.mark.parametrize("kind", ["backbone", "checkpoint"])
def test_the_model_is_as_it_is_stored(kind, sources) -> None:
    model = load_model(sources[kind])
    expected = {"backbone": ViTRetModel.from_backbone, "checkpoint": ViTRetModel.from_pretrained}[kind](sources[kind])
    images = [draw(0, 0), draw(1, 0).resize((90, 50))]
    assert embed_images(model, images, progress=False).equal(embed_images(expected, images, progress=False))
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    assert model.projection is None


def test_pooling_is_for_plain_backbones(sources) -> None:
    poolings = {kind: load_model(source, pooling="max").config.pooling for kind, source in sources.items()}
    assert poolings == {"backbone": "max", "checkpoint": "mean"}


@pytest.mark.parametrize("kind", ["backbone", "checkpoint"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image_size": 64}, (64, 73, "shortest_edge")),
        ({"image_size": 64, "resize_size": 64, "resize_mode": "square"}, (64, 64, "square")),
        ({"resize_size": 48}, (32, 48, "shortest_edge")),
    ],
)
def test_the_size_of_the_image_can_be_another(kind, changes, expected, sources) -> None:
    model = load_model(sources[kind], **changes)
    config = model.config
    assert (config.image_size, config.resize_size, config.resize_mode) == expected
    assert model.image_processor.crop_size["height"] == expected[0]
    received, stored = (embed_images(m, [draw(0, 0)], progress=False) for m in (model, load_model(sources[kind])))
    assert received.shape == stored.shape
    assert not received.equal(stored)


def test_the_resize_mode_alone_keeps_the_sizes(sources) -> None:
    config = load_model(sources["checkpoint"], resize_mode="square").config
    assert (config.image_size, config.resize_size, config.resize_mode) == (32, 32, "square")


def test_what_is_wrong_is_named(sources) -> None:
    with pytest.raises(ValueError, match=r"resize_size must be at least image_size \(64\)"):
        load_model(sources["checkpoint"], image_size=64, resize_size=32)
    with pytest.raises(OSError, match="expected a model in no/such, a folder or an id on the Hub"):
        load_model("no/such")


def test_a_folder_is_named_by_its_last_two_parts(sources, monkeypatch) -> None:
    assert model_name(sources["checkpoint"]) == "run/final"
    monkeypatch.chdir(sources["checkpoint"])
    assert model_name(".") == "run/final"
    assert model_name("facebook/dinov2-small") == "facebook/dinov2-small"


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
