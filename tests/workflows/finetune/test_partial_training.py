"""Training of a part of the weights, through the whole job: what stays, what moves, and a checkpoint that loads."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model, ViTImageProcessor

from hf_vitret import RetrievalEvaluator, ViTRetModel
from hf_vitret.workflows.finetune.finetune import AFTER
from tests.training import runs
from tests.workflows.finetune import flow


def run(folder: Path, backbone: Path, model: dict[str, Any], **changes: Any) -> ViTRetModel:
    """Run the job; the scores that it wrote are those of the checkpoint that it wrote."""
    final = flow.run(folder, backbone, model=model, max_steps=3, load_best_model_at_end=False, **changes)
    reloaded = ViTRetModel.from_pretrained(final)
    expected = RetrievalEvaluator(runs.shapes_dataset()["test"])(reloaded)
    assert flow.results_of(final)["scores"][AFTER] == pytest.approx(expected)
    training = flow.results_of(final)["training"]
    assert {name: training[name] for name in model if name in training} == {
        name: value for name, value in model.items() if name in training
    }
    return reloaded


def moved(model: ViTRetModel, backbone: Path) -> set[str]:
    """Name the backbone's weights that training has changed."""
    start = ViTRetModel.from_backbone(backbone, image_size=runs.SIDE).backbone.state_dict()
    return {name for name, weight in model.backbone.state_dict().items() if not torch.equal(weight, start[name])}


def test_head_only(backbone: Path, tmp_path: Path) -> None:
    model = run(tmp_path, backbone, {"head_only": True, "embedding_dim": 5})
    assert moved(model, backbone) == set()
    assert model.projection.bias.abs().sum() > 0  # it starts at zero


def test_head_only_needs_a_head(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--embedding_dim"):
        flow.run(tmp_path, backbone, model={"head_only": True})


def test_first_blocks_frozen(backbone: Path, tmp_path: Path) -> None:
    model = run(tmp_path, backbone, {"freeze_blocks": 1})
    names = moved(model, backbone)
    assert names
    assert not any("embeddings" in name or ".0." in name for name in names)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21's own
def test_lora_ends_as_an_ordinary_model(backbone: Path, tmp_path: Path) -> None:
    model = run(tmp_path, backbone, {"lora_rank": 2, "embedding_dim": 5}, learning_rate=1e-2)
    names = moved(model, backbone)
    assert names
    assert not any("norm" in name or "bias" in name or "embeddings" in name for name in names)


def test_drop_path_of_any_backbone_and_of_the_backbones_own(backbone: Path, tmp_path: Path) -> None:
    arguments = flow.model_arguments(backbone, drop_path_rate=0.5)
    model = arguments.build()
    pixels = torch.randn(16, 3, runs.SIDE, runs.SIDE)
    expected = ViTRetModel.from_backbone(backbone, image_size=runs.SIDE).eval()(pixels).embeddings
    torch.testing.assert_close(model.eval()(pixels).embeddings, expected)
    assert not torch.allclose(model.train()(pixels).embeddings, expected)

    own = tmp_path / "dinov2"
    config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28)
    Dinov2Model(config).save_pretrained(own)
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(own)
    built = flow.model_arguments(own, drop_path_rate=0.5).build()
    assert built.config.backbone_config.drop_path_rate == 0.5
    assert not any(module._forward_hooks for module in built.backbone.modules())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"head_only": True, "embedding_dim": 5, "lora_rank": 2}, "expected one of head_only, lora_rank"),
        ({"freeze_blocks": 1, "lora_rank": 2}, "expected one of freeze_blocks, lora_rank"),
        ({"head_only": True, "embedding_dim": 5, "drop_path_rate": 0.1}, "no drop_path_rate with head_only"),
        ({"freeze_blocks": 3}, "freeze nothing.* to 2, the blocks of the backbone; got 3"),
    ],
)
def test_parts_that_contradict_each_other(model: dict[str, Any], message: str, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        flow.run(tmp_path, backbone, model=model)
