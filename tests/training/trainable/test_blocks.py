"""The blocks found by structure are those named in the code of each backbone, in the order in which they run."""

import re

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel

from hf_vitret.training.trainable.blocks import parameter_depths, transformer_blocks
from tests.training.tiny_backbones import BACKBONES, pixels, tiny

# Names of the blocks in the code of each family.
STAGES = {"swin": "encoder.layers.{}.blocks.{}", "swinv2": "encoder.layers.{}.blocks.{}"}
STAGES |= dict.fromkeys(["convnext", "convnextv2"], "encoder.stages.{}.layers.{}")
STAGES |= {"dinov3_convnext": "model.stages.{}.layers.{}", "poolformer": "encoder.block.{}.{}"}
PLAIN = dict.fromkeys(["vit", "deit", "beit"], "layers.{}")
PLAIN |= dict.fromkeys(["dinov2", "dinov2_with_registers"], "encoder.layer.{}") | {"dinov3_vit": "model.layer.{}"}
PLAIN |= dict.fromkeys(["siglip_vision_model", "clip_vision_model"], "encoder.layers.{}")


def block_names(kind: str) -> list[str]:
    if kind in PLAIN:
        return [PLAIN[kind].format(index) for index in range(4)]
    depths = BACKBONES[kind]["depths"]
    return [STAGES[kind].format(stage, index) for stage, depth in enumerate(depths) for index in range(depth)]


@pytest.mark.parametrize("kind", BACKBONES)
def test_blocks_of_every_family(kind: str) -> None:
    model = tiny(kind)
    expected = [model.backbone.get_submodule(name) for name in block_names(kind)]
    assert transformer_blocks(model) == expected


@pytest.mark.parametrize("kind", BACKBONES)
@torch.no_grad()
def test_blocks_run_once_and_in_this_order(kind: str) -> None:
    model = tiny(kind)
    blocks = transformer_blocks(model)
    calls: list[nn.Module] = []
    for block in blocks:
        block.register_forward_hook(lambda block, *_: calls.append(block))
    model(pixels(1))
    assert calls == blocks


def test_blocks_are_found_inside_a_wrapper() -> None:
    model = tiny()
    for wrapper in (DataParallel(model), torch.compile(model, backend="eager"), nn.Sequential(model)):
        assert transformer_blocks(wrapper) == transformer_blocks(model)


def test_other_lists_of_modules_are_not_taken_for_blocks() -> None:
    """The largest list of modules of one class is taken; a list deeper inside a block is not one of a stage."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixture = nn.Sequential(nn.ModuleList([nn.Linear(8, 8) for _ in range(5)]))

    model = nn.Module()
    model.backbone = nn.Module()
    model.backbone.stem = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 8)])
    model.backbone.mixed = nn.ModuleList([nn.Linear(80, 80), nn.LayerNorm(80)])
    model.backbone.layers = nn.ModuleList([Block(), Block()])
    assert transformer_blocks(model) == list(model.backbone.layers)


def test_no_blocks() -> None:
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match=r"list \(nn.ModuleList\) of blocks of one class; Sequential has none\. Train it without"
    ):
        transformer_blocks(model)
    with pytest.raises(ValueError, match=r"expected a ViTRetModel, which has a backbone; got Linear\. Load"):
        transformer_blocks(nn.Linear(2, 2))


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_parameter_has_the_depth_of_its_name(kind: str) -> None:
    model = tiny(kind, pooling="gem", gem_learnable=True, embedding_dim=4)
    names = block_names(kind)
    depths = parameter_depths(model)
    assert list(depths) == [name for name, _ in model.named_parameters()]
    for name, depth in depths.items():
        within = [index for index, block in enumerate(names) if name.startswith(f"backbone.{block}.")]
        if within:
            assert depth == within[0] + 1, name
        elif re.search(r"^(gem|projection)|^backbone\.(norm|layernorm|layer_norm|post_layernorm)\.", name):
            assert depth == len(names) + 1, name
        elif re.search(r"embed|pre_layrnorm|stages\.0\.downsample_layers", name):
            assert depth == 0, name
        else:  # a reduction between two stages
            stage = int(re.search(r"(?:layers|stages)\.(\d+)\.downsampl", name)[1])  # type: ignore[index]
            after = stage + 1 if kind.startswith("swin") else stage
            assert depth == sum(BACKBONES[kind]["depths"][:after]) + 1, name
