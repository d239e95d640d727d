"""The model that a run trains, as its settings describe it."""

import json
from pathlib import Path

import pytest
import torch

from hf_vitret import ViTRetModel
from hf_vitret.workflows.finetune.arguments import ModelArguments
from tests.training.runs import SIDE
from tests.workflows.finetune import flow


def test_every_field_reaches_the_model(backbone: Path) -> None:
    fields = {
        "pooling": "gem",
        "embedding_dim": 6,
        "gem_p": 2.0,
        "gem_learnable": True,
        "image_size": 16,
        "resize_size": 24,
        "resize_mode": "square",
    }
    model = ModelArguments(model=str(backbone), attn_implementation="eager", **fields).build()
    assert {name: getattr(model.config, name) for name in fields} == fields
    assert model.backbone.config._attn_implementation == "eager"


def test_goes_on_from_a_retrieval_checkpoint_as_it_is(backbone: Path, tmp_path: Path) -> None:
    """Not as the backbone of another retrieval model, with its projection lost."""
    first = ModelArguments(model=str(backbone), embedding_dim=6, pooling="mean", image_size=SIDE).build()
    first.save_pretrained(tmp_path)
    second = ModelArguments(model=str(tmp_path)).build()
    pixels = torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(second.eval()(pixels).embeddings, first(pixels).embeddings)
    assert second.config.embedding_dim == 6
    assert isinstance(second, ViTRetModel)
    assert not isinstance(second.backbone, ViTRetModel)
    with pytest.raises(ValueError, match="is a ViTRet checkpoint with embedding_dim 6; got --embedding_dim 7"):
        ModelArguments(model=str(tmp_path), embedding_dim=7).build()


@pytest.mark.parametrize(
    ("auto_map", "message"),
    [
        ("eve/evil--code.Config", r"^refused, and nothing was run: config\.json of .* names something outside"),
        ("code.Config", r"needs code of its own .* which is not run here: choose a backbone that is native"),
    ],
)
def test_no_code_of_a_backbone_is_run(auto_map: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": auto_map}}))
    (tmp_path / "code.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(ValueError, match=message):
        ModelArguments(model=str(tmp_path)).build()
    assert not (tmp_path / "ran").exists()


def test_only_a_hub_id_is_named_as_base_model(backbone: Path) -> None:
    assert flow.model_arguments(backbone).base_model is None
    assert ModelArguments().base_model == "facebook/deit-small-distilled-patch16-224"


def test_attention_is_eager_on_a_cpu_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_accelerator, expected in ((False, "eager"), (True, None)):
        monkeypatch.setattr("torch.accelerator.is_available", lambda has_accelerator=has_accelerator: has_accelerator)
        assert ModelArguments().attn_implementation == expected
        assert ModelArguments(attn_implementation="sdpa").attn_implementation == "sdpa"
