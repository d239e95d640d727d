"""A last block that computes its class token alone gives the embeddings and gradients of the whole block."""

import copy

import pytest
import torch
from torch import nn

from hf_vitret import ViTRetConfig, ViTRetModel
from hf_vitret.inference.class_token import class_token_only

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.2,
}
DINOV2 = {**VIT, "mlp_ratio": 2}
SLICED = {
    "clip_vision_model": {**VIT, "initializer_factor": 10.0},
    "deit": VIT,
    "dinov2": DINOV2,
    "dinov2_with_registers": {**DINOV2, "num_register_tokens": 3},
    "dinov3_vit": {**VIT, "num_register_tokens": 3},
    "vit": VIT,
    "vit_msn": VIT,
}
TOKENS = 1 + (56 // 14) ** 2


def build(kind: str, pooling: str = "cls", **changes: object) -> ViTRetModel:
    torch.manual_seed(0)
    fields = {"model_type": kind, **SLICED.get(kind, VIT), **changes}
    return ViTRetModel(ViTRetConfig(fields, pooling=pooling, image_size=56)).train()


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def embed_and_differentiate(model: nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Embed with seeded dropout; return the embeddings and the gradient of a sum that weighs all of them."""
    model.zero_grad()
    torch.manual_seed(2)
    embeddings = model(pixels).embeddings
    weights = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(3))
    (embeddings * weights).sum().backward()
    return embeddings.detach(), {name: weight.grad for name, weight in model.named_parameters()}


def assert_same(model: nn.Module, pixels: torch.Tensor) -> None:
    embeddings, gradients = embed_and_differentiate(model, pixels)
    with class_token_only(model):
        sliced_embeddings, sliced_gradients = embed_and_differentiate(model, pixels)
    torch.testing.assert_close(sliced_embeddings, embeddings, atol=1e-6, rtol=1e-5)
    assert sliced_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert gradient.any(), name
        rounding = 1e-5 * max(1.0, float(gradient.abs().max()))  # sums of large and small numbers
        torch.testing.assert_close(sliced_gradients[name], gradient, atol=rounding, rtol=1e-4)


@pytest.mark.parametrize("kind", SLICED)
def test_embeddings_and_gradients_stay(kind: str, pixels: torch.Tensor) -> None:
    assert_same(build(kind), pixels)


def test_with_drop_path_and_attention_of_another_kind(pixels: torch.Tensor) -> None:
    model = build("dinov2", drop_path_rate=0.5)
    model.set_attn_implementation("eager")
    assert_same(model, pixels)


def test_with_gradient_checkpointing(pixels: torch.Tensor) -> None:
    plain, checkpointed = build("vit"), build("vit")
    checkpointed.activation_checkpointing_enable()
    embeddings, gradients = embed_and_differentiate(plain, pixels)
    with class_token_only(checkpointed):
        sliced_embeddings, sliced_gradients = embed_and_differentiate(checkpointed, pixels)
    torch.testing.assert_close(sliced_embeddings, embeddings, atol=1e-6, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(sliced_gradients[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", SLICED)
def test_spares_the_work_and_leaves_no_trace(kind: str, pixels: torch.Tensor) -> None:
    model = build(kind).eval()
    rows: list[tuple[str, int]] = []  # of each linear layer, how many tokens it saw
    for name, module in model.backbone.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, args, out, name=name: rows.append((name, args[0].shape[1])))
    tokens = model(pixels).last_hidden_state.shape[1]
    whole = sum(count for _, count in rows)
    rows.clear()
    with class_token_only(model):
        assert model(pixels).last_hidden_state.shape[1] == 1
    single = [name for name, count in rows if count == 1]
    assert len(single) == 3  # attention's output, and the MLP's two layers
    assert whole - sum(count for _, count in rows) == 3 * (tokens - 1)
    rows.clear()
    assert model(pixels).last_hidden_state.shape[1] == tokens
    assert sum(count for _, count in rows) == whole


def test_nested_and_after_an_error(pixels: torch.Tensor) -> None:
    model = build("vit").eval()
    expected = model(pixels).embeddings
    with pytest.raises(RuntimeError, match="stop"), class_token_only(model):
        with class_token_only(model, copy.deepcopy(model)):
            torch.testing.assert_close(model(pixels).embeddings, expected, atol=1e-6, rtol=1e-5)
        assert model(pixels).last_hidden_state.shape[1] == 1
        raise RuntimeError("stop")
    assert model(pixels).last_hidden_state.shape[1] == TOKENS


@pytest.mark.parametrize(("kind", "pooling"), [("vit", "gem"), ("dinov2", "mean"), ("siglip_vision_model", "max")])
def test_other_poolings_keep_their_tokens(kind: str, pooling: str, pixels: torch.Tensor) -> None:
    model = build(kind, pooling).eval()
    whole = model(pixels)
    with class_token_only(model):
        output = model(pixels)
    assert torch.equal(output.embeddings, whole.embeddings)
    assert torch.equal(output.last_hidden_state, whole.last_hidden_state)
