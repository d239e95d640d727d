"""LoRA against its equation, and a merged model against the adapted one, also after saving and loading both."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoModel, Trainer, TrainingArguments

from hf_vitret import ViTRetConfig, ViTRetModel, embed_images
from hf_vitret.training.trainable.blocks import transformer_blocks
from hf_vitret.training.trainable.drop_path import add_drop_path
from hf_vitret.training.trainable.lora import add_lora, merge_lora
from hf_vitret.training.trainable.parameter_groups import parameter_groups
from tests.training.tiny_backbones import one_number, pixels, tiny

KINDS = ["vit", "deit", "dinov2", "dinov3_vit", "siglip_vision_model", "clip_vision_model", "beit", "swin", "convnext"]
HEAD = {"pooling": "gem", "gem_learnable": True, "embedding_dim": 5}


def trained(model: nn.Module, num_steps: int = 3) -> nn.Module:
    """Train for a few steps, because the product of the matrices is 0 before training."""
    model.train()
    optimizer = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.02)
    for _ in range(num_steps):
        one_number(model(pixels()).embeddings).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def adapted(kind: str = "vit", rank: int = 2, **fields: object) -> nn.Module:
    torch.manual_seed(0)
    return add_lora(tiny(kind, **fields), rank=rank)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_starts_as_the_model_and_trains_only_matrices_and_head(kind: str) -> None:
    model, plain = adapted(kind, **HEAD), tiny(kind, **HEAD)
    torch.testing.assert_close(model(pixels()).embeddings, plain(pixels()).embeddings)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    linear = [
        name
        for name, module in plain.named_modules()
        if isinstance(module, nn.Linear) and any(module in block.modules() for block in transformer_blocks(plain))
    ]
    expected = {f"base_model.model.{name}.lora_{letter}.default.weight" for name in linear for letter in ("A", "B")} | {
        f"base_model.model.{name}" for name in ("gem.modules_to_save.default.p",)
    }
    expected |= {f"base_model.model.projection.modules_to_save.default.{name}" for name in ("weight", "bias")}
    assert trainable == expected


def test_without_a_head_only_matrices_are_trained() -> None:
    trainable = [name for name, parameter in adapted("vit").named_parameters() if parameter.requires_grad]
    assert trainable
    assert all(".lora_" in name for name in trainable)


@torch.no_grad()
def test_equation_3() -> None:
    """The reference adds alpha / rank times the product of the two matrices to each weight of an ordinary model."""
    torch.manual_seed(0)
    model = add_lora(tiny("vit"), rank=2, alpha=6)
    with torch.enable_grad():
        trained(model)
    plain = tiny("vit")
    matrices = dict(model.named_parameters())
    for name, module in plain.named_modules():
        down = matrices.get(f"base_model.model.{name}.lora_A.default.weight")
        if down is not None:
            up = matrices[f"base_model.model.{name}.lora_B.default.weight"]
            assert up.any()
            module.weight += 6 / 2 * up @ down
    torch.testing.assert_close(model(pixels()).embeddings, plain(pixels()).embeddings, rtol=0, atol=1e-5)


def test_alpha_is_the_rank_and_targets_can_be_named() -> None:
    model = add_lora(tiny("vit"), rank=3, dropout=0.25, target_modules=["q_proj", "v_proj"])
    layers = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A." in name}
    assert {name.rpartition(".")[2] for name in layers} == {"q_proj", "v_proj"}
    layer = model.get_submodule(min(layers))
    assert layer.scaling == {"default": 1.0}
    assert layer.lora_dropout["default"].p == 0.25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [{}, HEAD], ids=["bare", "head"])
def test_merged_checkpoint_gives_the_adapted_embeddings_without_peft(kind: str, fields: dict, tmp_path: Path) -> None:
    model = trained(adapted(kind, **fields))
    with torch.no_grad():
        expected = model(pixels()).embeddings
        assert (expected - tiny(kind, **fields)(pixels()).embeddings).abs().max() > 1e-2, "training changed nothing"
        merged = merge_lora(model)
        assert type(merged) is ViTRetModel
        assert all(parameter.requires_grad for parameter in merged.parameters())
        assert merged.state_dict().keys() == tiny(kind, **fields).state_dict().keys()
        merged.save_pretrained(tmp_path)
        for loader in (ViTRetModel, AutoModel):
            loaded = loader.from_pretrained(tmp_path)
            assert type(loaded) is ViTRetModel
            torch.testing.assert_close(loaded(pixels()).embeddings, expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 reads it
@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov3_vit", "swin"])
def test_adapter_is_saved_alone_as_safetensors_and_comes_back(kind: str, tmp_path: Path) -> None:
    from peft import PeftModel

    model = trained(adapted(kind, **HEAD))
    expected = model(pixels()).embeddings.detach()
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    loaded = PeftModel.from_pretrained(tiny(kind, **HEAD), tmp_path).eval()
    torch.testing.assert_close(loaded(pixels()).embeddings, expected)
    # As Trainer resumes: the adapter is loaded into a model that was trained differently, and stays trainable.
    other = trained(adapted(kind, **HEAD), num_steps=1)
    trainable = {name for name, parameter in other.named_parameters() if parameter.requires_grad}
    other.load_adapter(tmp_path, "default", is_trainable=True)
    torch.testing.assert_close(other.eval()(pixels()).embeddings, expected)
    assert {name for name, parameter in other.named_parameters() if parameter.requires_grad} == trainable


def test_trainer_saves_the_adapter_and_resumes_from_it_bit_for_bit(tmp_path: Path) -> None:
    class EmbeddingTrainer(Trainer):
        def compute_loss(self, model: nn.Module, inputs: dict, *args: object, **kwargs: object) -> torch.Tensor:
            return one_number(model(**inputs).embeddings)

    def trainer() -> Trainer:
        args = TrainingArguments(
            str(tmp_path),
            max_steps=4,
            save_steps=2,
            per_device_train_batch_size=2,
            learning_rate=0.01,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        examples = [{"pixel_values": image} for image in pixels(8)]
        return EmbeddingTrainer(adapted("dinov2", **HEAD), args, train_dataset=examples)

    whole, resumed = trainer(), trainer()
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert not list(tmp_path.rglob("model.safetensors"))
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight), name
    start = adapted("dinov2", **HEAD).state_dict()
    assert any(not torch.equal(start[name], weight) for name, weight in whole.model.state_dict().items())


def test_the_wrapper_is_used_like_the_model() -> None:
    model = trained(adapted("vit", **HEAD))
    assert isinstance(model.config, ViTRetConfig)
    assert model.image_processor.to_dict() == tiny("vit", **HEAD).image_processor.to_dict()
    photos = [Image.fromarray(np.random.default_rng(row).integers(0, 256, (40, 50, 3), np.uint8)) for row in range(3)]
    embeddings = embed_images(model, photos, progress=False)
    pixel_values = model.image_processor(photos, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        torch.testing.assert_close(embeddings, model(pixel_values=pixel_values).embeddings, rtol=0, atol=1e-5)
        pooled, _ = model.pool_images(pixel_values)
        torch.testing.assert_close(model(pooled=pooled).embeddings, embeddings, rtol=0, atol=1e-5)


def test_the_rest_of_the_training_surface_works_on_it() -> None:
    model = adapted("vit", **HEAD)
    assert len(transformer_blocks(model)) == 4
    names = [name for name, _ in model.named_parameters()]
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.1, decay_names=names, layer_decay=0.5)
    assert [group["lr"] for group in groups] == [1.0, 0.5, 0.25, 0.125, 0.0625]
    head = {
        name for name, parameter in model.named_parameters() if any(parameter is one for one in groups[0]["params"])
    }
    assert {name.split(".")[2] for name in head} == {"gem", "projection"}
    assert len(add_drop_path(model, 0.5)) == 3
    with torch.no_grad():
        first, second = (model.train()(pixels()).embeddings for _ in range(2))
    assert not torch.equal(first, second)


def test_gradient_checkpointing_reaches_every_matrix() -> None:
    def gradients(is_checkpointed: bool) -> dict[str, torch.Tensor]:
        model = trained(adapted("vit"), num_steps=1).train()
        if is_checkpointed:
            # transformers renamed it within version 5, and warns about the old name.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()
        one_number(model(pixels()).embeddings).backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    actual = gradients(True)
    for name, expected in gradients(False).items():
        torch.testing.assert_close(actual[name], expected, rtol=1e-5, atol=1e-6)


def test_merging_a_copy_does_not_change_the_adapted_model() -> None:
    model = trained(adapted("vit"))
    expected = model(pixels()).embeddings
    merge_lora(copy.deepcopy(model))
    assert torch.equal(model(pixels()).embeddings, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank must be at least 1; got 0"),
        ({"rank": 2, "alpha": 0.0}, "alpha must be above 0, or None for a scale of 1; got 0.0"),
        ({"rank": 2, "dropout": 1.0}, "0 to below 1; got 1.0"),
    ],
)
def test_settings_outside_their_domain(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_lora(tiny(), **settings)


def test_blocks_without_linear_layers() -> None:
    with pytest.raises(
        ValueError, match=r"linear layers in the blocks of the backbone; there are none\. Name target_modules"
    ):
        add_lora(tiny("poolformer"), rank=2)


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r'LoRA needs the package peft, .*: pip install "hf_vitret\[lora\]"'):
        add_lora(tiny(), rank=2)
