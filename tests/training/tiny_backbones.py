"""Tiny random models on backbones of every supported family, each of several blocks."""

from typing import Any

import torch

from hf_vitret import ViTRetConfig, ViTRetModel

SIDE = 32

_VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
    "initializer_range": 0.2,  # at the usual 0.02 a random model maps all images to nearly the same vector
}
_STAGES = {"depths": [2, 3], "initializer_range": 0.2, "drop_path_rate": 0.0}
# At the usual layer scale of 1e-6 the blocks of a random ConvNeXt change almost nothing.
_CONVNEXT = {**_STAGES, "hidden_sizes": [8, 16], "num_stages": 2, "layer_scale_init_value": 1.0}
_SWIN = {**_STAGES, "embed_dim": 8, "num_heads": [1, 2], "image_size": SIDE, "patch_size": 2, "window_size": 4}

BACKBONES: dict[str, dict[str, Any]] = {
    "vit": _VIT,
    "deit": _VIT,
    "dinov2": {**_VIT, "mlp_ratio": 2},
    "dinov2_with_registers": {**_VIT, "mlp_ratio": 2, "num_register_tokens": 3},
    "dinov3_vit": {**_VIT, "num_register_tokens": 3},
    "siglip_vision_model": _VIT,
    "clip_vision_model": {**_VIT, "initializer_factor": 10.0},
    "beit": {**_VIT, "drop_path_rate": 0.0},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "convnext": _CONVNEXT,
    "convnextv2": _CONVNEXT,
    "dinov3_convnext": {**_STAGES, "hidden_sizes": [8, 8, 8, 16], "depths": [1, 2, 1, 1]},
    "poolformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 2, 1, 1], "initializer_range": 0.2},
}


def tiny(kind: str = "vit", backbone: dict[str, Any] | None = None, **fields: Any) -> ViTRetModel:
    """Build a model in evaluation mode; every call gives the same weights."""
    fields.setdefault("pooling", "mean")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ViTRetConfig({"model_type": kind, **BACKBONES[kind], **(backbone or {})}, image_size=SIDE, **fields)
        return ViTRetModel(config).eval()


def pixels(num_images: int = 4) -> torch.Tensor:
    """Draw `(num_images, 3, SIDE, SIDE)` float from a normal distribution, in place of normalised pixels."""
    return torch.randn(num_images, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def one_number(embeddings: torch.Tensor) -> torch.Tensor:
    """Reduce embeddings with fixed random weights: a loss whose gradient is the same in every run."""
    return (embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(2))).sum()
