"""`class_token_only`: compute the last block of a vision transformer only for the class token, if only it is pooled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

# For each type of backbone, the names in a block of the modules after attention: the projection of the output of
# attention, and the norm before the MLP. In all of these blocks attention and MLP are residual branches with a norm
# before them, and the class token is the first token.
_BLOCK_PARTS = {
    "clip_vision_model": ("self_attn.out_proj", "layer_norm2"),
    "deit": ("attention.o_proj", "layernorm_after"),
    "dinov2": ("attention.o_proj", "norm2"),
    "dinov2_with_registers": ("attention.o_proj", "norm2"),
    "dinov3_vit": ("attention.o_proj", "norm2"),
    "vit": ("attention.o_proj", "layernorm_after"),
    "vit_msn": ("attention.o_proj", "layernorm_after"),
}


@contextmanager
def class_token_only(*models: nn.Module) -> Iterator[None]:
    """Return a context in which the last block of a backbone computes only the class token.

    After the last attention, a token does not depend on other tokens. If the class token is pooled, the other tokens
    are not needed: they take three quarters of the work of the last block, and the memory of its activations. The
    embeddings and all gradients stay the same, up to rounding. `last_hidden_state` has one token.

    Models with other pooling, and backbones whose blocks are not in `_BLOCK_PARTS`, do not change.

    Args:
        *models: Each a `ViTRetModel`, also with LoRA adapters. Hooks are added to its last block, and removed at the
            end.
    """
    handles = [handle for model in models for handle in _slice_last_block(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _slice_last_block(model: nn.Module) -> list[RemovableHandle]:
    config: Any = getattr(model, "config", None)
    backbone_type = getattr(getattr(config, "backbone_config", None), "model_type", None)
    if getattr(config, "pooling", None) != "cls" or backbone_type not in _BLOCK_PARTS:
        return []
    projection_name, norm_name = _BLOCK_PARTS[backbone_type]
    block = [module for module in model.modules() if norm_name in module._modules][-1]
    parts = dict(block.named_modules())
    # The residual stream still has all tokens, and the output of these modules for the first token is added to each of
    # them by broadcasting. Only the sum of the first token is correct, and only this token leaves the block.
    sliced = [parts[name] for name in (projection_name, norm_name) if name in parts]
    handles = [module.register_forward_pre_hook(_first_token_in) for module in sliced]
    return [*handles, block.register_forward_hook(_first_token_out)]


def _first_token_in(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    tokens, *others = args  # (B, T, C)
    return tokens[:, :1], *others


def _first_token_out(module: nn.Module, args: Any, output: torch.Tensor | tuple[Any, ...]) -> Any:
    if isinstance(output, tuple):  # older releases of transformers also return the attention weights
        return output[0][:, :1], *output[1:]
    return output[:, :1]
