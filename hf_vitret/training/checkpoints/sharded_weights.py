"""A sharded model and the plain one that it stands for."""

from typing import Any

import torch
from torch import nn

from ..trainable.blocks import transformer_blocks


def shard_by_block(fsdp_plugin: Any, model: nn.Module) -> None:
    """Let FSDP shard each block of the backbone by itself, where the launch names no classes.

    Else accelerate takes what transformers says must not be split. For most backbones that is the embeddings too,
    whose patch projection it then shards a second time, and fails.

    Args:
        fsdp_plugin: accelerate's, before the model is prepared.
        model: A `ViTRetModel`.
    """
    if fsdp_plugin.transformer_cls_names_to_wrap is None:
        fsdp_plugin.transformer_cls_names_to_wrap = sorted(
            {type(block).__name__ for block in transformer_blocks(model)}
        )


def plain_model(model: Any) -> Any:
    """Return the model to save a sharded one's gathered weights with: of its own class, without weights.

    FSDP2 puts a class made at run time in the place of a model's: `save_pretrained` would name that one in the
    configuration, and copy torch's file as the code that a checkpoint carries. Any other model comes back as it is.

    Args:
        model: A `ViTRetModel`, sharded or not.
    """
    made, *given = type(model).__bases__
    if made.__name__ != "FSDPModule":
        return model
    with torch.device("meta"):
        return given[0](model.config)
