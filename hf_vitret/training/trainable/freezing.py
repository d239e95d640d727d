"""Freezing of parameters: the first blocks of the backbone, or all of it."""

from torch import nn

from .blocks import parameter_depths, transformer_blocks


def freeze_blocks(model: nn.Module, num_blocks: int) -> None:
    """Freeze the embeddings and the first blocks of the backbone.

    With gradient checkpointing, `use_reentrant` must be off, as it is by default: reentrant checkpointing gives the
    parameters no gradient if no input needs one.

    Args:
        model: A `ViTRetModel`, also inside a wrapper (peft, DDP, `torch.compile`); changed in place.
        num_blocks: Number of blocks to freeze, counted from the input. 0 freezes nothing, not even the embeddings.

    Raises:
        ValueError: The number is negative or larger than the number of blocks, or the backbone has no blocks.
    """
    if num_blocks == 0:
        return
    count = len(transformer_blocks(model))
    if not 0 < num_blocks <= count:
        raise ValueError(
            f"num_blocks must be 0 (freeze nothing) to {count}, the blocks of the backbone; got {num_blocks}"
        )
    depths = parameter_depths(model)
    for name, parameter in model.named_parameters():
        if depths[name] <= num_blocks:
            parameter.requires_grad_(False)


def freeze_backbone(model: nn.Module) -> None:
    """Freeze all parameters except those of the head: the projection and the learnable exponent of GeM pooling.

    Args:
        model: A `ViTRetModel`; changed in place.

    Raises:
        ValueError: The model has no parameter outside the backbone.
    """
    backbone: nn.Module = model.backbone  # type: ignore[assignment]
    frozen = set(backbone.parameters())
    if all(parameter in frozen for parameter in model.parameters()):
        raise ValueError(
            "expected a model with parameters outside the backbone; got one without, so that a frozen backbone leaves "
            "nothing to train. Give it a projection (--embedding_dim), or GeM pooling with a learnable exponent "
            "(--pooling gem --gem_learnable)"
        )
    backbone.requires_grad_(False)
