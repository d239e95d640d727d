"""Stochastic depth for backbones that have none of their own: blocks that are skipped, image by image."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .blocks import transformer_blocks


def has_own_drop_path(backbone_config: Any) -> bool:
    """Tell whether a backbone drops paths by itself, attention and MLP each on its own: the better way where it is.

    Args:
        backbone_config: `model.config.backbone_config`, or the configuration that the backbone is built from.

    Returns:
        Whether it has a `drop_path_rate`, as DINOv2, DINOv3, BEiT, Swin and ConvNeXt have. ViT, DeiT, CLIP and SigLIP
        have none.
    """
    return isinstance(getattr(backbone_config, "drop_path_rate", None), int | float)


def add_drop_path(model: nn.Module, rate: float) -> list[RemovableHandle]:
    """Skip whole blocks at random in training, each image on its own, the later the block the more often.

    Block i of L is skipped with probability p = `rate * i / (L - 1)`; where it is not, what it adds to its input is
    divided by 1 - p: `x + mask / (1 - p) * (block(x) - x)`. The expected output is that of the block.

    It is done by forward hooks: no module is added or renamed, and no state is saved. A block that changes the shape
    of its input is never skipped, and in evaluation mode none is. The masks come from torch's generator of the
    device, so that a replay of its state repeats them.

    Args:
        model: As for `transformer_blocks`.
        rate: Probability for the last block, 0 to below 1; 0.1 is usual for a ViT-S or ViT-B.

    Returns:
        Handles, one a block that can be skipped; `handle.remove()` takes its hook away.

    Raises:
        ValueError: The rate is outside its domain, the backbone has no blocks, or it drops paths already.

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth", arXiv 1603.09382: Eq. 4 for the linear rise. Theirs starts
        above 0, skips a block for the whole batch and rescales at test time; from 0 and by image is what the
        transformers that followed do. The paper (arXiv 2102.05644) is silent on it.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate is a probability from 0 to below 1; got {rate}")
    blocks = transformer_blocks(model)
    config: Any = model.config
    if has_own_drop_path(config.backbone_config) and config.backbone_config.drop_path_rate > 0:
        raise ValueError(
            f"the backbone ({config.backbone_config.model_type}) drops paths itself, at drop_path_rate "
            f"{config.backbone_config.drop_path_rate}: build it with that at {rate} instead (backbone_overrides)"
        )
    rates = [rate * index / max(1, len(blocks) - 1) for index in range(len(blocks))]
    return [
        block.register_forward_hook(partial(_skip, rate=block_rate), with_kwargs=True)
        for block, block_rate in zip(blocks, rates)
        if block_rate > 0
    ]


def _skip(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, rate: float) -> Any:
    """Put a block's input in the place of its output where its image is drawn; rescale the others."""
    if not module.training:
        return None
    block_input = args[0] if args else kwargs["hidden_states"]
    block_output = output[0] if isinstance(output, tuple) else output
    if block_input.shape != block_output.shape:
        return None
    one_each = (len(block_output), *(1,) * (block_output.dim() - 1))
    # Drawn in float32 whatever the block's type: the same generator state gives the same masks in every precision.
    mask = torch.empty(one_each, device=block_output.device).bernoulli_(1 - rate)  # (B, 1, ...)
    weight = (mask / (1 - rate)).to(block_output.dtype)
    # lerp is x + weight * (block(x) - x) in one kernel, which keeps neither of the two for the backward pass.
    mixed = torch.lerp(block_input.to(block_output.dtype), block_output, weight)
    return (mixed, *output[1:]) if isinstance(output, tuple) else mixed
