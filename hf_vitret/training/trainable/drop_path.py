"""Stochastic depth (drop-path) for backbones without it: blocks that are skipped at random for each image."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .blocks import transformer_blocks


def has_own_drop_path(backbone_config: Any) -> bool:
    """Return whether a backbone has its own drop-path, which drops attention and MLP separately.

    Where a backbone has it, it is preferable to `add_drop_path`.

    Args:
        backbone_config: `model.config.backbone_config`, or the configuration that the backbone is built from.

    Returns:
        Whether the configuration has a `drop_path_rate`. DINOv2, DINOv3, BEiT, Swin and ConvNeXt have one; ViT, DeiT,
        CLIP and SigLIP have none.
    """
    return isinstance(getattr(backbone_config, "drop_path_rate", None), int | float)


def add_drop_path(model: nn.Module, rate: float) -> list[RemovableHandle]:
    """Skip whole blocks at random in training, independently for each image, with a rate that rises with depth.

    Block i of L is skipped with probability p = `rate * i / (L - 1)`. If it is not skipped, what it adds to its input
    is divided by 1 - p: `x + mask / (1 - p) * (block(x) - x)`. The expected output is that of the block.

    Forward hooks do this: no module is added or renamed, and no state is saved. A block that changes the shape of its
    input is never skipped, and no block is skipped in evaluation mode. The masks are drawn from torch's generator of
    the device, so that restoring its state repeats them.

    Args:
        model: A `ViTRetModel`, also inside a wrapper (peft, DDP, `torch.compile`); changed in place.
        rate: Probability for the last block, from 0 to below 1; 0.1 is usual for a ViT-S or ViT-B.

    Returns:
        A handle for each block that can be skipped; `handle.remove()` removes its hook.

    Raises:
        ValueError: The rate is outside its domain, the backbone has no blocks, or it has a drop-path rate of its own.

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth", arXiv 1603.09382: Eq. 4 for the linear rise. Their rate
        starts above 0, a block is skipped for the whole batch, and the output is rescaled at test time. Starting from
        0 and skipping for each image is the practice of later transformers. The paper (arXiv 2102.05644) does not
        mention it.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be a probability from 0 to below 1; got {rate}")
    blocks = transformer_blocks(model)
    config: Any = model.config
    if has_own_drop_path(config.backbone_config) and config.backbone_config.drop_path_rate > 0:
        raise ValueError(
            f"expected a backbone without drop-path; got {config.backbone_config.model_type}, which has a "
            f"drop_path_rate of {config.backbone_config.drop_path_rate}. Build it with a drop_path_rate of {rate} "
            "instead (backbone_overrides)"
        )
    rates = [rate * index / max(1, len(blocks) - 1) for index in range(len(blocks))]
    return [
        block.register_forward_hook(partial(_skip, rate=block_rate), with_kwargs=True)
        for block, block_rate in zip(blocks, rates)
        if block_rate > 0
    ]


def _skip(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, rate: float) -> Any:
    """Replace the output of a block by its input for the images that skip it, and rescale it for the others."""
    if not module.training:
        return None
    block_input = args[0] if args else kwargs["hidden_states"]
    block_output = output[0] if isinstance(output, tuple) else output
    if block_input.shape != block_output.shape:
        return None
    one_each = (len(block_output), *(1,) * (block_output.dim() - 1))
    # Drawn in float32 for blocks of any type, so that a generator state gives the same masks in every precision.
    mask = torch.empty(one_each, device=block_output.device).bernoulli_(1 - rate)  # (B, 1, ...)
    weight = (mask / (1 - rate)).to(block_output.dtype)
    # lerp computes x + weight * (block(x) - x) in one kernel and keeps neither tensor for the backward pass.
    mixed = torch.lerp(block_input.to(block_output.dtype), block_output, weight)
    return (mixed, *output[1:]) if isinstance(output, tuple) else mixed
