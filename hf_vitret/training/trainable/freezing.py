"""Parameters that training leaves as they are: the first blocks, or the whole backbone."""

from torch import nn

from .blocks import parameter_depths, transformer_blocks


def freeze_blocks(model: nn.Module, num_blocks: int) -> None:
    """Freeze the embeddings and the first blocks of the backbone.

    With gradient checkpointing, `use_reentrant` must be off, as it is by default: the reentrant kind lets no gradient
    through to parameters where no input needs one.

    Args:
        model: As for `transformer_blocks`; changed in place.
        num_blocks: How many blocks. 0 freezes nothing, the embeddings neither.

    Raises:
        ValueError: The number is negative or more than the backbone has, or the backbone has no blocks.
    """
    if num_blocks == 0:
        return
    count = len(transformer_blocks(model))
    if not 0 < num_blocks <= count:
        raise ValueError(f"the backbone has {count} blocks: freeze 0 (nothing) to {count} of them; got {num_blocks}")
    depths = parameter_depths(model)
    for name, parameter in model.named_parameters():
        if depths[name] <= num_blocks:
            parameter.requires_grad_(False)


def freeze_backbone(model: nn.Module) -> None:
    """Freeze all but the head: the projection, and the exponent of GeM pooling where it is learnable.

    Args:
        model: A `ViTRetModel`; changed in place.

    Raises:
        ValueError: There would be nothing left to train.
    """
    backbone: nn.Module = model.backbone  # type: ignore[assignment]
    frozen = set(backbone.parameters())
    if all(parameter in frozen for parameter in model.parameters()):
        raise ValueError(
            "with the backbone frozen this model has nothing to train: give it a projection (--embedding_dim), or GeM "
            "pooling with a learnable exponent (--pooling gem --gem_learnable)"
        )
    backbone.requires_grad_(False)
