"""Low-rank adapters (LoRA) through peft: small matrices are trained beside frozen weights, and can be merged."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from .blocks import transformer_blocks

if TYPE_CHECKING:
    from peft import PeftModel

    from ...models.modeling_vitret import ViTRetModel

# Modules of ViTRetModel after the backbone. They are small, and the projection is randomly initialised.
TRAINED_WHOLE = ("projection", "gem")


def add_lora(
    model: "ViTRetModel",
    *,
    rank: int,
    alpha: float | None = None,
    dropout: float = 0.0,
    target_modules: Sequence[str] | None = None,
) -> "PeftModel":
    """Freeze a retrieval model and add trainable low-rank matrices to its linear layers.

    A projection and a learnable GeM exponent are trained in full. Before training, the embeddings are those of the
    model. `save_pretrained` of the result writes the adapter alone, which `PeftModel.from_pretrained` loads onto the
    model; `merge_lora` returns an ordinary model.

    Args:
        model: A `ViTRetModel`; its layers are wrapped in place.
        rank: Rank of the matrices, at least 1.
        alpha: The product of the matrices is scaled by `alpha / rank`; `None` is a scale of 1.
        dropout: Dropout probability before the matrices, from 0 to below 1.
        target_modules: Names or name endings of the layers to adapt; `None` adapts every linear layer of the
            backbone's blocks, those of attention and MLP.

    Returns:
        The model inside peft's wrapper, which is called like the model and has its `config` and `image_processor`.

    Raises:
        ImportError: peft is not installed.
        ValueError: The rank, alpha or dropout is outside its domain, or the blocks hold no linear layer.

    Reference:
        Hu et al., "LoRA", arXiv 2106.09685, Eq. 3. They adapt only attention; adapting the MLP too, the default here,
        follows Dettmers et al., arXiv 2305.14314, section 4.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError(
            'LoRA needs the package peft, which is not installed: pip install "hf_vitret[lora]"'
        ) from error
    if rank < 1:
        raise ValueError(f"rank must be at least 1; got {rank}")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"alpha must be above 0, or None for a scale of 1; got {alpha}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a probability from 0 to below 1; got {dropout}")
    whole = [name for name in TRAINED_WHOLE if _has_parameters(getattr(model, name))]
    config = LoraConfig(
        r=rank,
        lora_alpha=rank if alpha is None else alpha,  # type: ignore[arg-type]  # peft divides it by the rank
        lora_dropout=dropout,
        target_modules=_linear_layers(model) if target_modules is None else list(target_modules),
        modules_to_save=whole or None,
    )
    with warnings.catch_warnings():
        # peft 0.21 reads a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted = get_peft_model(model, config)
    # peft takes the names in modules_to_save for name endings, and the patch embedding of a ViT has a projection too.
    # That one stays wrapped, because PeftModel.from_pretrained wraps it and looks for it in the file, but is frozen.
    for name, parameter in model.backbone.named_parameters():
        parameter.requires_grad_(".lora_" in name)
    return adapted


def merge_lora(peft_model: "PeftModel") -> "ViTRetModel":
    """Add the products of the trained matrices to the weights and remove peft's wrapper.

    Args:
        peft_model: The result of `add_lora`. Its layers become ordinary ones again, in place: do not use it
            afterwards.

    Returns:
        A `ViTRetModel` with the embeddings of the adapted model up to rounding. All its parameters are trainable, and
        its checkpoints need no peft.
    """
    model: ViTRetModel = peft_model.merge_and_unload()
    model.requires_grad_(True)
    return model


def _linear_layers(model: nn.Module) -> list[str]:
    """Return the names of the linear layers in the blocks."""
    linear = {
        module for block in transformer_blocks(model) for module in block.modules() if isinstance(module, nn.Linear)
    }
    if not linear:
        raise ValueError("expected linear layers in the blocks of the backbone; there are none. Name target_modules")
    return [name for name, module in model.named_modules() if module in linear]


def _has_parameters(module: Any) -> bool:
    return module is not None and any(True for _ in module.parameters())
