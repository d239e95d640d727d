"""A step changes the parameters that are not frozen and no others, also with gradient checkpointing."""

import pytest
import torch
from torch import nn

from hf_vitret.training.trainable.blocks import transformer_blocks
from hf_vitret.training.trainable.freezing import freeze_backbone, freeze_blocks
from tests.training.tiny_backbones import BACKBONES, one_number, pixels, tiny


def moved_by_a_step(model: nn.Module) -> set[str]:
    """Take a step with the trainable parameters; return the names of the parameters that it changed."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    one_number(model.train()(pixels()).embeddings).backward()
    torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1.0).step()
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


def trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def names_with(model: nn.Module, *parts: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if any(part in name for part in parts)}


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_embeddings_and_first_blocks_stay(is_checkpointed: bool) -> None:
    model = tiny("vit", embedding_dim=4)
    fixed = names_with(model, "embeddings.", "layers.0.", "layers.1.")
    moving = names_with(model, "layers.2.", "layers.3.", "backbone.layernorm.", "projection.") - fixed
    freeze_blocks(model, 2)
    assert trainable(model) == moving
    if is_checkpointed:
        # transformers renamed it within version 5, and warns about the old name.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable()
    moved = moved_by_a_step(model)
    assert moved <= moving
    # Softmax is invariant to a bias that is the same for all keys.
    assert moved >= {name for name in moving if not name.endswith("k_proj.bias")}


@pytest.mark.parametrize("kind", BACKBONES)
def test_the_given_number_of_blocks_in_every_family(kind: str) -> None:
    model = tiny(kind, embedding_dim=4)
    freeze_blocks(model, 2)
    for index, block in enumerate(transformer_blocks(model)):
        assert {parameter.requires_grad for parameter in block.parameters()} == {index >= 2}
    first_name = next(name for name, _ in model.backbone.named_parameters())
    assert not model.backbone.get_parameter(first_name).requires_grad
    assert model.projection.weight.requires_grad


def test_a_reduction_between_stages_is_as_frozen_as_the_block_after_it() -> None:
    for num_blocks, is_trained in ((2, True), (3, False)):
        model = tiny("swin")  # two blocks, a reduction, three blocks
        freeze_blocks(model, num_blocks)
        reduction = model.backbone.encoder.layers[0].downsample
        assert {parameter.requires_grad for parameter in reduction.parameters()} == {is_trained}


def test_zero_freezes_nothing_and_all_blocks_leave_what_follows_them() -> None:
    model = tiny("vit")
    freeze_blocks(model, 0)
    assert trainable(model) == names_with(model, "")
    freeze_blocks(model, 4)
    assert trainable(model) == names_with(model, "backbone.layernorm.")


@pytest.mark.parametrize("num_blocks", [-1, 5])
def test_a_number_of_blocks_that_the_backbone_does_not_have(num_blocks: int) -> None:
    with pytest.raises(
        ValueError, match=rf"num_blocks must be 0 \(freeze nothing\) to 4, the blocks of the backbone; got {num_blocks}"
    ):
        freeze_blocks(tiny("vit"), num_blocks)


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ({"embedding_dim": 4}, {"projection.weight", "projection.bias"}),
        ({"pooling": "gem", "gem_learnable": True}, {"gem.p"}),
        (
            {"pooling": "gem", "gem_learnable": True, "embedding_dim": 4},
            {"gem.p", "projection.weight", "projection.bias"},
        ),
    ],
)
@pytest.mark.parametrize("kind", ["vit", "clip_vision_model"])
def test_only_the_head_is_trained(kind: str, fields: dict, head: set[str]) -> None:
    model = tiny(kind, **fields)
    freeze_backbone(model)
    assert trainable(model) == head
    assert moved_by_a_step(model) == head


@pytest.mark.parametrize("fields", [{}, {"pooling": "gem"}])
def test_a_model_that_is_all_backbone_has_no_head_to_train(fields: dict) -> None:
    model = tiny("vit", **fields)
    with pytest.raises(ValueError, match=r"leaves nothing to train\. Give it a projection \(--embedding_dim"):
        freeze_backbone(model)
    assert trainable(model) == names_with(model, ""), "the model is unchanged"
