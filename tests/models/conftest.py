"""Tiny random backbones of every supported family, and models built on them."""

import pytest
import torch

from hf_vitret import ViTRetConfig, ViTRetModel

# initializer_range: at the usual 0.02 a random model maps all images to nearly one vector.
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 224,
    "patch_size": 16,
    "initializer_range": 0.2,
}
_DINOV2 = {**_VIT, "patch_size": 14, "mlp_ratio": 2}
_CONVNEXT = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "initializer_range": 0.2}
# Swin drops whole layers at random by default, which would make gradients of a training step a lottery.
_SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "initializer_range": 0.2, "drop_path_rate": 0.0}
_BACKBONES = {
    "deit": _VIT,
    "vit": _VIT,
    "dinov2": _DINOV2,
    "dinov2_with_registers": {**_DINOV2, "num_register_tokens": 3},
    "dinov3_vit": {**_VIT, "num_register_tokens": 5},
    "siglip_vision_model": _VIT,
    "clip_vision_model": {**_VIT, "initializer_factor": 10.0},
    "swin": _SWIN,
    "convnext": _CONVNEXT,
    # Each with a trap of its own: a norm after the pooling, a pooled first token.
    "chinese_clip_vision_model": _VIT,
    "convnextv2": _CONVNEXT,
    "dinov3_convnext": {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "initializer_range": 0.2},
    "mlcd_vision_model": _VIT,
}


@pytest.fixture
def backbone_fields():
    """Give the function that returns the configuration, as a dict, of a tiny backbone: `fields("vit")`."""

    def fields(kind="vit", **changes):
        return {"model_type": kind, **_BACKBONES[kind], **changes}

    return fields


@pytest.fixture
def make_model(backbone_fields):
    """Give the function that builds a seeded model in evaluation mode: `make("vit", pooling="gem")`."""

    def make(kind="vit", backbone=None, **config):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return ViTRetModel(ViTRetConfig(backbone_fields(kind, **(backbone or {})), **config)).eval()

    return make


@pytest.fixture
def images():
    """Give two seeded images, `(2, 3, 224, 224)` float, as normalised pixels are."""
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
