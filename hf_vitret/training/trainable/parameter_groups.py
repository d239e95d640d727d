"""Optimiser groups for layer-wise learning-rate decay: the rate falls from the output to the input of the backbone."""

from collections.abc import Collection
from typing import Any

from torch import nn

from .blocks import parameter_depths, transformer_blocks


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    decay_names: Collection[str],
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay.

    A parameter at depth d of a backbone of L blocks (see `parameter_depths`) gets the rate
    `learning_rate * layer_decay ** (L + 1 - d)`: the full rate after the last block, the smallest in the embeddings.

    The deepest groups come first, so that the rate that a schedule reports, that of the first group, is
    `learning_rate`. The order depends on the model alone, so that the optimizer's state can be loaded on resume.

    Args:
        model: A `ViTRetModel`, also inside a wrapper (peft, DDP, `torch.compile`).
        learning_rate: Learning rate after the last block.
        weight_decay: Weight decay of the parameters in `decay_names`; the others have none.
        decay_names: Names of parameters of `model`, as `Trainer.get_decay_parameter_names` returns them.
        layer_decay: Factor from a block to the block before it, above 0 and at most 1. At 1 all parameters have the
            same rate, in two groups with and without weight decay, as in `transformers.Trainer`.

    Returns:
        Groups for a torch optimizer, with `params`, `lr` and `weight_decay`. A schedule scales the rate of each group.

    Raises:
        ValueError: `layer_decay` is outside its domain, nothing is trainable, or the backbone has no blocks.

    Reference:
        Bao et al., "BEiT", arXiv 2106.08254, and He et al., "Masked Autoencoders", arXiv 2111.06377, for fine-tuning.
        The equation is that of their code, in which the embeddings have depth 0 and the head has depth L + 1.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1 (one learning rate for all); got {layer_decay}")
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not named:
        raise ValueError("expected a model with a trainable parameter; got one with all frozen. Freeze fewer blocks")
    decayed = set(decay_names)
    if layer_decay == 1:
        depths, deepest = dict.fromkeys(named, 0), 0
    else:
        depths = parameter_depths(model)
        deepest = len(transformer_blocks(model)) + 1
    groups = []
    for depth in range(deepest, -1, -1):
        rate = learning_rate * layer_decay ** (deepest - depth)
        for has_decay in (True, False):
            names = [name for name in named if depths[name] == depth and (name in decayed) == has_decay]
            # Of the two groups of Trainer one may be empty; of the many of layer-wise decay, empty ones are left out.
            if names or layer_decay == 1:
                members = [named[name] for name in names]
                groups.append({"params": members, "lr": rate, "weight_decay": weight_decay if has_decay else 0.0})
    return groups
