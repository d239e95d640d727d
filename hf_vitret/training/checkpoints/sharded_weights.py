"""How FSDP shards a model by its blocks, and how a sharded model is saved as an unsharded one."""

from typing import Any

import torch
from torch import nn

from ..trainable.blocks import transformer_blocks


def shard_by_block(fsdp_plugin: Any, model: nn.Module) -> None:
    """Make FSDP shard each block of the backbone by itself, unless the launch configuration names classes.

    By default accelerate shards the classes that transformers says must not be split. For most backbones these include
    the embeddings, whose patch projection accelerate then shards a second time, and fails.

    Args:
        fsdp_plugin: accelerate's FSDP plugin, before it prepares the model; changed in place.
        model: A `ViTRetModel`.
    """
    if fsdp_plugin.transformer_cls_names_to_wrap is None:
        fsdp_plugin.transformer_cls_names_to_wrap = sorted(
            {type(block).__name__ for block in transformer_blocks(model)}
        )


def plain_model(model: Any) -> Any:
    """Return a model of the original class, without weights, to save the gathered weights of a sharded model with.

    FSDP2 replaces the class of a model by one made at run time. `save_pretrained` would name that class in the
    configuration, and copy a file of torch as the code of the checkpoint.

    Args:
        model: A `ViTRetModel`, sharded or not.

    Returns:
        The model on the meta device if `model` is sharded with FSDP2; `model` itself otherwise.
    """
    first, *others = type(model).__bases__
    if first.__name__ != "FSDPModule":
        return model
    with torch.device("meta"):
        return others[0](model.config)
