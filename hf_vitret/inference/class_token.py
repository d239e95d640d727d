"""The last block of a vision transformer, computed for the class token alone where only that one is pooled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

# By type of backbone, the names inside a block of what comes after the tokens have met in attention: the projection
# of attention's output, and the norm in front of the MLP. In all of these blocks attention and MLP each add to the
# tokens what they make of the normalised tokens, and the class token is the first.
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
    """Let the last block of a backbone compute its class token alone, while the context lasts.

    Behind the last attention no token looks at another one again, so whoever pools the class token has no use for the
    rest: three quarters of the last block's work, and its activations. The embeddings and all gradients stay what
    they are (up to rounding). `last_hidden_state` has one token.

    Nothing changes for other poolings, and for backbones that are not known to be built so.

    Args:
        *models: Each a `ViTRetModel`, also with LoRA adapters. Its last block gets hooks, removed at the end.
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
    # Elsewhere the residual stream keeps all tokens, and what comes out of these two is added to each of them; only
    # the sum at the first token means something, and only that one leaves the block.
    sliced = [parts[name] for name in (projection_name, norm_name) if name in parts]
    handles = [module.register_forward_pre_hook(_first_token_in) for module in sliced]
    return [*handles, block.register_forward_hook(_first_token_out)]


def _first_token_in(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    tokens, *others = args  # (B, T, C)
    return tokens[:, :1], *others


def _first_token_out(module: nn.Module, args: Any, output: torch.Tensor | tuple[Any, ...]) -> Any:
    if isinstance(output, tuple):  # with the attention weights behind it, as older releases of transformers have it
        return output[0][:, :1], *output[1:]
    return output[:, :1]
