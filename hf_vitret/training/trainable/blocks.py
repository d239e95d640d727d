"""The repeated blocks of any vision backbone, and the depth of each parameter in it."""

from typing import Any

from torch import nn


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """Find the blocks of a retrieval model's backbone, in the order in which they are applied.

    They are found by structure, not by name: among the outermost lists of modules of one class, the list with the most
    parameters is taken. If its members are stages, each with such a list of its own (Swin, ConvNeXt), the members of
    those lists are the blocks.

    Args:
        model: A `ViTRetModel`, also inside a wrapper (peft, DDP, `torch.compile`).

    Returns:
        The blocks, at least one.

    Raises:
        ValueError: There is no backbone in the model, or no list of blocks in the backbone.
    """
    owner: Any = next((module for module in model.modules() if hasattr(module, "backbone")), None)
    if owner is None:
        raise ValueError(
            f"expected a ViTRetModel, which has a backbone; got {type(model).__name__}. Load or build the model with "
            "ViTRetModel"
        )
    lists = _outermost_lists(owner.backbone)
    if not lists:
        raise ValueError(
            f"expected a backbone with a list (nn.ModuleList) of blocks of one class; {type(owner.backbone).__name__} "
            "has none. Train it without layer-wise decay, drop-path, freezing by block and LoRA's default layers"
        )
    return _blocks_in(max(lists, key=_num_parameters))


def parameter_depths(model: nn.Module) -> dict[str, int]:
    """Return the depth of each parameter: 0 before the blocks, i + 1 in block i, L + 1 after the last of L blocks.

    A module between two blocks (the reduction between two stages of Swin or ConvNeXt) has the depth of the block after
    it, whose input it computes. The order of modules is the order in which the model registers them.

    Args:
        model: A `ViTRetModel`, also inside a wrapper (peft, DDP, `torch.compile`).

    Returns:
        The depth of each of `model.named_parameters()`, by name and in that order.

    Raises:
        ValueError: There is no backbone in the model, or no list of blocks in the backbone.
    """
    blocks = transformer_blocks(model)
    block_of = {parameter: index for index, block in enumerate(blocks) for parameter in block.parameters()}
    depths = {}
    last_block = -1
    for name, parameter in model.named_parameters():
        if parameter in block_of:
            last_block = block_of[parameter]
            depths[name] = last_block + 1
        else:
            depths[name] = 0 if last_block < 0 else last_block + 2
    return depths


def _outermost_lists(module: nn.Module) -> list[nn.ModuleList]:
    """Collect the lists of modules of one class below a module that are not inside another such list."""
    lists = []
    for child in module.children():
        if not isinstance(child, nn.ModuleList):
            lists += _outermost_lists(child)
        elif _is_uniform(child):
            lists.append(child)
    return lists


def _blocks_in(members: nn.ModuleList) -> list[nn.Module]:
    """Return the members of a list or, if all of them are stages, the blocks of each stage in order."""
    stages = []
    for member in members:
        children = [member] if isinstance(member, nn.ModuleList) else member.children()
        lists = [child for child in children if isinstance(child, nn.ModuleList) and _is_uniform(child)]
        if not lists:
            return list(members)
        stages.append(max(lists, key=_num_parameters))
    return [block for stage in stages for block in _blocks_in(stage)]


def _is_uniform(modules: nn.ModuleList) -> bool:
    return len({type(module) for module in modules}) == 1


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
