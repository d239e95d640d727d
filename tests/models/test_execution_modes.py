"""Attention kernels, gradient checkpointing and compilation change the model's cost, never its numbers."""

import pytest
import torch

from hf_vitret import ViTRetConfig, ViTRetModel

WITH_SDPA = ["deit", "vit", "dinov2", "dinov2_with_registers", "dinov3_vit", "siglip_vision_model"]
WITH_SDPA += ["clip_vision_model"]


def gradients(model, images):
    model.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(3)  # DINOv3 stretches its positions at random while it trains
        embeddings = model(images).embeddings
    weights = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(2))
    (embeddings * weights).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", WITH_SDPA)
@torch.no_grad()
def test_sdpa_equals_eager(kind, backbone_fields, make_model, images):
    sdpa = make_model(kind, pooling="mean")
    config = ViTRetConfig(backbone_fields(kind), pooling="mean")
    config._attn_implementation = "eager"
    eager = ViTRetModel(config).eval()
    eager.load_state_dict(sdpa.state_dict())
    assert sdpa.backbone.config._attn_implementation == "sdpa"
    assert eager.backbone.config._attn_implementation == "eager"
    torch.testing.assert_close(sdpa(images).embeddings, eager(images).embeddings, rtol=0, atol=1e-5)


def enable_checkpointing(model):
    # transformers renamed it within version 5, and warns of the old name.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


@pytest.mark.parametrize("kind", [*WITH_SDPA, "swin"])
def test_gradient_checkpointing_recomputes_and_changes_nothing(kind, make_model, images):
    model = make_model(kind, pooling="mean").train()
    small = images[..., :112, :112]
    calls = []
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda module, _: calls.append(module))
    expected = gradients(model, small)
    once = len(calls)
    assert once > 0
    calls.clear()
    enable_checkpointing(model)
    actual = gradients(model, small)
    # Recomputation stops at the last tensor that is needed, which can spare each layer its last product.
    assert len(calls) >= 2 * once - 2, "the layers did not run a second time in the backward pass"
    for name, gradient in expected.items():
        torch.testing.assert_close(
            actual[name], gradient, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_gradient_checkpointing_is_refused_where_the_backbone_has_none(make_model):
    with pytest.raises(ValueError, match="not compatible with gradient checkpointing"):
        enable_checkpointing(make_model("convnext", pooling="mean"))


@pytest.mark.parametrize("backend", ["eager", "inductor"])
@torch.no_grad()
def test_compiled_model_is_one_graph_with_the_same_output(backend, make_model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = make_model(backbone={"num_hidden_layers": 1, "image_size": 32})
    pixels = torch.arange(2 * 3 * 32 * 32).remainder(251).to(torch.uint8).view(2, 3, 32, 32)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(pixels).embeddings, model(pixels).embeddings, rtol=0, atol=1e-5)
    torch.compiler.reset()
