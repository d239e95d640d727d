"""Drop-path against masks drawn separately, against its expectation, and against the model without it."""

import copy
import io

import pytest
import torch
from torch import nn

from hf_vitret.training.trainable.blocks import transformer_blocks
from hf_vitret.training.trainable.drop_path import add_drop_path, has_own_drop_path
from tests.training.tiny_backbones import BACKBONES, one_number, pixels, tiny

SEED = 5


def seeded(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(SEED)
    return model(images).embeddings


def masks(rate: float, num_blocks: int, num_images: int) -> list[torch.Tensor]:
    """Draw what the hooks draw from the same state: one value for each image, block after block, but for the first."""
    torch.manual_seed(SEED)
    rates = [rate * index / (num_blocks - 1) for index in range(1, num_blocks)]
    return [torch.ones(num_images), *(torch.empty(num_images).bernoulli_(1 - block_rate) for block_rate in rates)]


@pytest.mark.parametrize("kind", ["vit", "siglip_vision_model", "clip_vision_model", "poolformer"])
@torch.no_grad()
def test_equals_the_backbone_run_image_by_image_with_its_blocks_taken_out(kind: str) -> None:
    """Reference: each image alone, with its skipped blocks removed and the others rescaled by hand."""
    images = pixels(8)
    model = tiny(kind).train()
    drawn = masks(0.6, 4 if kind != "poolformer" else 5, len(images))
    keep = [1 - 0.6 * index / (len(drawn) - 1) for index in range(len(drawn))]
    assert 0 < sum(mask.sum() for mask in drawn) < len(drawn) * len(images)
    expected = []
    for row in range(len(images)):
        changed = copy.deepcopy(model)
        for index, block in enumerate(transformer_blocks(changed)):
            block.register_forward_hook(by_hand(float(drawn[index][row]), keep[index]))
        expected.append(changed(images[row : row + 1]).embeddings)
    add_drop_path(model, 0.6)
    torch.testing.assert_close(seeded(model, images), torch.cat(expected), rtol=0, atol=1e-5)


def by_hand(is_kept: float, keep: float):
    def hook(block: nn.Module, args: tuple, output):
        result = output[0] if isinstance(output, tuple) else output
        if result.shape != args[0].shape:
            return output
        result = args[0] + (result - args[0]) / keep if is_kept else args[0]
        return (result, *output[1:]) if isinstance(output, tuple) else result

    return hook


@torch.no_grad()
def test_expected_output_is_the_blocks_and_the_rates_rise_linearly() -> None:
    """The blocks are replaced by additions of powers of two, so that the output of an image shows its masks."""
    model = tiny("vit")
    blocks = transformer_blocks(model)
    for index, block in enumerate(blocks):
        block.forward = lambda hidden_states, step=float(2**index): hidden_states + step
    add_drop_path(model, 0.6)
    model.train()
    torch.manual_seed(0)
    hidden = torch.zeros(40_000, 1, 1)
    for index, block in enumerate(blocks):
        added = (block(hidden) - hidden).flatten()
        keep = 1 - 0.6 * index / 3
        assert set(added.unique().tolist()) <= {0.0, torch.tensor(2**index / keep).item()}
        # A tolerance of four standard deviations of a share of 40,000 draws, and of the mean of the rescaled additions.
        share, error = (added > 0).double().mean().item(), 4 * (keep * (1 - keep) / 40_000) ** 0.5
        assert share == pytest.approx(keep, abs=error)
        assert added.double().mean().item() == pytest.approx(2**index, abs=2**index * error / keep + 1e-6)


@pytest.mark.parametrize("kind", ["vit", "clip_vision_model"])
@torch.no_grad()
def test_evaluation_is_unchanged_and_handles_remove_it(kind: str) -> None:
    model, plain = tiny(kind), tiny(kind)
    names = [name for name, _ in model.named_modules()]
    handles = add_drop_path(model, 0.9)
    assert len(handles) == 3, "the first block has rate 0"
    assert torch.equal(model(pixels()).embeddings, plain(pixels()).embeddings)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert [name for name, _ in model.named_modules()] == names
    model.train()
    assert not torch.equal(seeded(model, pixels()), plain(pixels()).embeddings)
    for handle in handles:
        handle.remove()
    assert torch.equal(model(pixels()).embeddings, plain(pixels()).embeddings)


def test_skipped_images_give_their_block_no_gradient_and_the_others_do() -> None:
    images = pixels(8)
    model = tiny("vit").train()
    add_drop_path(model, 0.6)
    drawn = masks(0.6, 4, len(images))
    weight = transformer_blocks(model)[3].mlp.fc1.weight
    embeddings = seeded(model, images)
    gradients = [
        torch.autograd.grad(one_number(embeddings[row : row + 1]), weight, retain_graph=True)[0] for row in range(8)
    ]
    assert [bool(gradient.any()) for gradient in gradients] == drawn[3].bool().tolist()
    assert {True, False} == set(drawn[3].bool().tolist())


def test_a_block_skipped_by_the_whole_batch_still_has_gradients_as_ddp_needs() -> None:
    model = tiny("vit").train()
    add_drop_path(model, 0.999)
    one_number(seeded(model, pixels(2))).backward()
    gradients = [parameter.grad for parameter in transformer_blocks(model)[3].parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("kind", ["vit", "siglip_vision_model"])
def test_gradient_checkpointing_gives_equal_gradients(kind: str, use_reentrant: bool) -> None:
    def gradients(is_checkpointed: bool) -> dict[str, torch.Tensor]:
        model = tiny(kind).train()
        add_drop_path(model, 0.6)
        if is_checkpointed:
            # transformers renamed it within version 5, and warns about the old name.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": use_reentrant})
        one_number(seeded(model, pixels(8))).backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    actual = gradients(True)
    for name, expected in gradients(False).items():
        torch.testing.assert_close(actual[name], expected, rtol=1e-5, atol=1e-6)


def test_checkpointing_around_the_hooks_replays_the_masks() -> None:
    """Older transformers and the wrapper of FSDP run the hooks a second time in the backward pass."""
    model = tiny("vit").train()
    add_drop_path(model, 0.6)
    block = transformer_blocks(model)[3]
    hidden = torch.randn(8, 3, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.manual_seed(SEED)
    (expected,) = torch.autograd.grad(one_number(block(hidden)), hidden)
    torch.manual_seed(SEED)
    recomputed = torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=False)
    torch.rand(7)  # the generator has advanced before the backward pass
    (actual,) = torch.autograd.grad(one_number(recomputed), hidden)
    torch.testing.assert_close(actual, expected)


@torch.no_grad()
def test_compiled_in_one_graph() -> None:
    model = tiny("vit").train()
    add_drop_path(model, 0.6)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(seeded(compiled, pixels(8)), seeded(model, pixels(8)), rtol=0, atol=1e-6)
    torch.compiler.reset()


def test_mixed_precision_draws_the_same_masks() -> None:
    model = tiny("vit").train()
    add_drop_path(model, 0.6)
    expected = seeded(model, pixels(8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = seeded(model, pixels(8))
    assert actual.dtype == torch.float32
    assert (actual * expected).sum(dim=1).min() > 0.99
    one_number(actual).backward()
    half = tiny("vit").to(torch.bfloat16).train()
    add_drop_path(half, 0.6)
    assert (seeded(half, pixels(8)) * expected).sum(dim=1).min() > 0.99


@torch.no_grad()
def test_tuples_and_keywords_and_other_shapes() -> None:
    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width

        def forward(self, hidden_states: torch.Tensor, attention: str = "none") -> tuple[torch.Tensor, str]:
            return hidden_states[..., : self.width] + 1, attention

    model = nn.Module()
    model.config = copy.deepcopy(tiny("vit").config)
    model.backbone = nn.Module()
    model.backbone.layers = nn.ModuleList([Block(4), Block(4), Block(2)])
    add_drop_path(model, 0.8)
    _, same, narrower = model.backbone.layers
    hidden = torch.zeros(64, 4)
    for call in ({"hidden_states": hidden, "attention": "any"}, {"attention": "any"}):
        output, extra = same(*([] if "hidden_states" in call else [hidden]), **call)
        assert extra == "any"
        assert set(output.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert torch.equal(narrower(hidden)[0], torch.ones(64, 2))


@pytest.mark.parametrize("kind", ["swin", "convnext"])
@torch.no_grad()
def test_hierarchical_backbones_run_with_it(kind: str) -> None:
    model = tiny(kind).train()
    add_drop_path(model, 0.6)
    first, again = seeded(model, pixels(8)), seeded(model, pixels(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, tiny(kind)(pixels(8)).embeddings)


@torch.no_grad()
def test_copies_and_saved_weights_are_those_of_the_model() -> None:
    model = tiny("vit").train()
    add_drop_path(model, 0.6)
    assert torch.equal(seeded(copy.deepcopy(model), pixels()), seeded(model, pixels()))
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    tiny("vit").load_state_dict(torch.load(stream, weights_only=True))


def test_neither_tensor_is_kept_for_the_backward_pass() -> None:
    model = tiny("vit").train()
    block = transformer_blocks(model)[3]
    hidden = torch.randn(8, 3, 16, requires_grad=True)

    def num_kept() -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()), lambda _: None):
            block(hidden)
        return sum(sizes)

    without = num_kept()
    add_drop_path(model, 0.6)
    assert num_kept() <= without + 8, "one weight an image"


@pytest.mark.parametrize("kind", BACKBONES)
def test_own_drop_path_is_reported_where_the_backbone_has_the_module(kind: str) -> None:
    model = tiny(kind, backbone={"drop_path_rate": 0.5} if has_own_drop_path(tiny(kind).config.backbone_config) else {})
    is_there = any("droppath" in type(module).__name__.lower() for module in model.modules())
    assert has_own_drop_path(model.config.backbone_config) == is_there


def test_a_backbone_with_a_drop_path_rate_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"got swin, which has a drop_path_rate of 0\.3\. Build it with a drop_path_rate of 0\.1 instead",
    ):
        add_drop_path(tiny("swin", backbone={"drop_path_rate": 0.3}), 0.1)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rate_outside_its_domain(rate: float) -> None:
    with pytest.raises(ValueError, match=f"0 to below 1; got {rate}"):
        add_drop_path(tiny(), rate)


def test_rate_zero_and_a_single_block_skip_nothing() -> None:
    assert add_drop_path(tiny(), 0.0) == []
    assert add_drop_path(tiny(backbone={"num_hidden_layers": 1}), 0.5) == []
