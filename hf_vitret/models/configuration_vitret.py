"""Configuration of a ViT retrieval model: backbone, pooling, embedding dimension and preprocessing of images."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

POOLINGS = ("cls", "mean", "max", "gem")
RESIZE_MODES = ("shortest_edge", "square")

# The statistics of ImageNet, on which the paper's DeiT backbones were trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# DeiT-S, the paper's backbone (its Table 1).
DEFAULT_BACKBONE = {
    "model_type": "deit",
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
}

# Fields of backbones that switch an attention-pooling head on or off (SigLIP, AIMv2). It is switched off: the model has
# a pooling of its own, and the parameters of the head would get no gradient.
HEAD_SWITCHES = ("vision_use_head", "use_head")


class ViTRetConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Describe a retrieval model: backbone, pooling, embedding dimension and preprocessing of images.

    The image processor is derived from this configuration (`image_size`, `resize_size`, `resize_mode`, `image_mean`,
    `image_std`), so that a checkpoint is never saved without the preprocessing it was trained with.

    Args:
        backbone_config: Configuration of any Hugging Face vision backbone, as a `PretrainedConfig` or as a dict with a
            `model_type`. Default: distilled DeiT-S, the paper's backbone.
        pooling: How the tokens are reduced to one vector: `"cls"` takes the class token (the paper's choice); `"mean"`,
            `"max"` and `"gem"` (generalised mean) pool the patch tokens.
        embedding_dim: Length of the embedding. `None` keeps the width of the backbone, as in the paper; an integer adds
            a linear projection.
        gem_p: Exponent of GeM pooling, above 0. 1 is the mean, large values approach the maximum. The paper uses 3.
        gem_learnable: Whether `gem_p` is trained.
        image_size: Side in pixels of the square input image at test time.
        resize_size: Side in pixels to which an image is resized before the centre crop to `image_size`. `None` is
            256/224 of `image_size`, the paper's ratio.
        resize_mode: `"shortest_edge"` resizes the shortest edge to `resize_size` and keeps the aspect ratio; `"square"`
            resizes both sides to it.
        image_mean: Mean of each RGB channel, for pixels in 0..1.
        image_std: Standard deviation of each RGB channel, for pixels in 0..1, above 0.

    Raises:
        ValueError: A field is outside its domain; the message names the field, the domain and the value.

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, section 3.
    """

    model_type = "vitret"
    sub_configs = {"backbone_config": AutoConfig}  # noqa: RUF012 (the name and the form are transformers')

    def __init__(
        self,
        backbone_config: PretrainedConfig | dict[str, Any] | None = None,
        pooling: str = "cls",
        embedding_dim: int | None = None,
        gem_p: float = 3.0,
        gem_learnable: bool = False,
        image_size: int = 224,
        resize_size: int | None = None,
        resize_mode: str = "shortest_edge",
        image_mean: Sequence[float] = IMAGENET_MEAN,
        image_std: Sequence[float] = IMAGENET_STD,
        **kwargs: Any,
    ) -> None:
        if backbone_config is None:
            backbone_config = DEFAULT_BACKBONE
        if isinstance(backbone_config, dict):
            fields = dict(backbone_config)
            if "model_type" not in fields:
                raise ValueError(
                    f"backbone_config as a dict needs a model_type such as 'vit'; got keys {sorted(fields)}: add it"
                )
            backbone_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        backbone_config = copy.deepcopy(backbone_config)  # building a model changes its configuration
        for name in HEAD_SWITCHES:
            if hasattr(backbone_config, name):
                setattr(backbone_config, name, False)
        if Path(backbone_config._name_or_path).is_dir():
            backbone_config._name_or_path = ""  # a published checkpoint must not name a folder of this machine
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
        if resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode must be one of {', '.join(RESIZE_MODES)}; got {resize_mode!r}")
        if embedding_dim is not None and embedding_dim < 1:
            raise ValueError(
                f"embedding_dim must be at least 1, or None for the backbone's own width; got {embedding_dim}"
            )
        if not gem_p > 0:
            raise ValueError(f"gem_p must be above 0 (1 is the mean, the paper uses 3); got {gem_p}")
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel; got {image_size}")
        if resize_size is None:
            resize_size = round(image_size * 256 / 224)
        if resize_size < image_size:
            raise ValueError(
                f"resize_size must be at least image_size ({image_size}), which is cropped out of it; got {resize_size}"
            )
        for name, values in (("image_mean", image_mean), ("image_std", image_std)):
            if len(values) != 3:
                raise ValueError(f"{name} must have one value for each of R, G and B; got {list(values)}")
        if min(image_std) <= 0:
            raise ValueError(f"image_std must be above 0 in each channel; got {list(image_std)}")
        self.backbone_config = backbone_config
        self.pooling = pooling
        self.embedding_dim = embedding_dim
        self.gem_p = gem_p
        self.gem_learnable = gem_learnable
        self.image_size = image_size
        self.resize_size = resize_size
        self.resize_mode = resize_mode
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Width of the output tokens of the backbone.

        Raises:
            ValueError: The configuration of the backbone has neither `hidden_size` nor `hidden_sizes`.
        """
        config = self.backbone_config
        if hasattr(config, "hidden_size"):
            return int(config.hidden_size)
        if hasattr(config, "hidden_sizes"):
            return int(config.hidden_sizes[-1])
        raise ValueError(
            f"expected hidden_size or hidden_sizes in the configuration of the backbone; {config.model_type} has "
            "neither: choose a backbone that transformers itself contains"
        )

    @property
    def output_dim(self) -> int:
        """Length of the embedding: `embedding_dim`, or the width of the backbone if there is no projection."""
        return self.hidden_size if self.embedding_dim is None else self.embedding_dim

    @property
    def projection_dim(self) -> int:
        """`output_dim`, under the name by which sentence-transformers reads the length of an embedding."""
        return self.output_dim

    @property
    def image_processor_fields(self) -> dict[str, Any]:
        """Fields of the `BitImageProcessor` of this model.

        It resizes (bicubic), crops the centre, rescales to 0..1 and normalises: the test transform of the authors'
        code.
        """
        side = self.resize_size
        keeps_ratio = self.resize_mode == "shortest_edge"
        return {
            "size": {"shortest_edge": side} if keeps_ratio else {"height": side, "width": side},
            "crop_size": {"height": self.image_size, "width": self.image_size},
            "resample": 3,  # PIL's number for bicubic
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        }
