"""The retrieval model: a vision backbone, pooling, an optional projection and the L2 norm; one vector an image."""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, BitImageProcessor, PreTrainedModel
from transformers import initialization as init
from transformers.utils import logging
from transformers.utils.generic import ModelOutput

from .configuration_vitret import IMAGENET_MEAN, IMAGENET_STD, ViTRetConfig

logger = logging.get_logger(__name__)

# Names of the parameter that is the class token, and backbones whose first output token is a pooled vector instead.
CLASS_TOKENS = {"cls_token", "class_embedding"}
POOLED_FIRST = {"dinov3_convnext"}

# Backbones that apply their last LayerNorm after their own pooling, by the name of the LayerNorm. This model applies it
# after its pooling too.
POOLED_NORMS = {
    "chinese_clip_vision_model": "post_layernorm",
    "clip_vision_model": "post_layernorm",
    "mlcd_vision_model": "post_layernorm",
    "convnext": "layernorm",
    "convnextv2": "layernorm",
}

# Smallest magnitude in a GeM power: below it the gradient of x^p vanishes anyway.
GEM_EPS = 1e-6


@dataclass
class ViTRetOutput(ModelOutput):
    """Output of `ViTRetModel`.

    Attributes:
        embeddings: `(batch, dim)` float32, unit L2 norm.
        last_hidden_state: Output of the backbone: `(batch, tokens, width)`, or `(batch, width, rows, columns)` from a
            convolutional backbone; `None` if the backbone did not run.
    """

    embeddings: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None


class GeM(nn.Module):
    """Pool tokens by their generalised mean, `(1/n sum x^p)^(1/p)`, extended to negative values.

    The extension is `(1/n sum sign(x) |x|^p) / (1/n sum |x|^p)^(1 - 1/p)`. Without negative values, as in the paper of
    GeM, it equals the generalised mean. `p = 1` is the mean.

    The tokens of a transformer have both signs. The usual generalised mean of the positive part puts all embeddings
    into one orthant, near each other, and has no gradient where a token is negative: a contrastive loss pushes the
    embeddings apart until few positive values are left.

    Args:
        p: Exponent, above 0; the start value if it is trained.
        learnable: Whether the exponent is trained.

    Reference:
        Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", arXiv 1711.02512, Eq. 3.
        Deviation: the signs, which the paper does not have.
    """

    def __init__(self, p: float, learnable: bool) -> None:
        super().__init__()
        self.initial_p = float(p)
        self.p: nn.Parameter | float = nn.Parameter(torch.tensor([float(p)])) if learnable else float(p)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pool `(batch, tokens, width)` float to `(batch, width)` float32."""
        tokens = tokens.float()
        powers = tokens.abs().clamp(min=GEM_EPS).pow(self.p)  # (B, T, C)
        size = powers.mean(dim=1).clamp(min=torch.finfo(torch.float32).tiny)  # (B, C)
        return (tokens.sign() * powers).mean(dim=1) * size.pow(1.0 / self.p - 1.0)  # (B, C)


class ViTRetModel(PreTrainedModel):
    """Embed images for retrieval: backbone, pooling, optional projection, L2 norm.

    Args:
        config: The configuration. The weights are random; `from_backbone` and `from_pretrained` load weights.

    Raises:
        ValueError: The backbone is not a vision model, or `pooling` is `"cls"` and the backbone has no class token.

    Reference:
        El-Nouby et al., arXiv 2102.05644, section 3. Deviation: the projection (`embedding_dim`), which the paper does
        not have.
    """

    config_class = ViTRetConfig
    config: ViTRetConfig
    base_model_prefix = "vitret"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: ViTRetConfig) -> None:
        super().__init__(config)
        backbone_config, kind = config.backbone_config, config.backbone_config.model_type
        # The current default dtype, not the dtype in which the checkpoint of the backbone is stored.
        self.backbone = AutoModel.from_config(  # type: ignore[no-untyped-call]
            backbone_config, dtype=torch.get_default_dtype(), **_backbone_kwargs(backbone_config)
        )
        forward_parameters = list(inspect.signature(self.backbone.forward).parameters)
        if forward_parameters[0] != "pixel_values":
            raise ValueError(f"backbone_config must be that of a vision model such as 'vit'; got {kind!r}")
        self._interpolates_on_request = "interpolate_pos_encoding" in forward_parameters
        names = {name.rpartition(".")[2] for name, _ in self.backbone.named_parameters()}
        self.has_class_token = bool(names & CLASS_TOKENS) or kind in POOLED_FIRST
        self.num_prefix_tokens = int(self.has_class_token) + int("distillation_token" in names)
        if "register_tokens" in names:
            self.num_prefix_tokens += backbone_config.num_register_tokens
        if config.pooling == "cls" and not self.has_class_token:
            raise ValueError(f"pooling 'cls' needs a class token, and {kind} has none: use 'mean', 'max' or 'gem'")
        self.gem = GeM(config.gem_p, config.gem_learnable) if config.pooling == "gem" else None
        width, dim = config.hidden_size, config.embedding_dim
        self.projection = None if dim is None else nn.Linear(width, dim)
        # Mask tokens are not used in an embedding, and a parameter without a gradient stops DDP. A buffer keeps its
        # name in checkpoints and is still a buffer after loading, whereas `requires_grad=False` would be lost.
        for module in self.backbone.modules():
            if isinstance(getattr(module, "mask_token", None), nn.Parameter):
                mask_token = module.mask_token.detach()
                del module.mask_token
                module.register_buffer("mask_token", mask_token)
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # A random orthogonal projection preserves distances and angles better than one of i.i.d. weights.
        if module is self.projection:
            init.orthogonal_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, GeM) and isinstance(module.p, nn.Parameter):
            init.constant_(module.p, module.initial_p)
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the patch embedding of the backbone."""
        return self.backbone.get_input_embeddings()  # type: ignore[no-any-return]

    @property
    def image_processor(self) -> BitImageProcessor:
        """The image processor of this model, derived from its configuration."""
        return BitImageProcessor(**self.config.image_processor_fields)

    def save_pretrained(
        self, save_directory: str | PathLike[str], is_main_process: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        """Save weights, configuration, code of the model and image processor to one folder.

        Args:
            save_directory: Folder to write to; created if it does not exist.
            is_main_process: Whether this process writes the files that only one process may write.
            *args: Further arguments, passed to `PreTrainedModel.save_pretrained`, which documents them.
            **kwargs: Further arguments, passed to `PreTrainedModel.save_pretrained`, which documents them.
        """
        super().save_pretrained(save_directory, is_main_process, *args, **kwargs)
        if is_main_process:
            self.image_processor.save_pretrained(save_directory)

    def _upload_modified_files(self, working_dir: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        # `save_pretrained(..., push_to_hub=True)` uploads before it returns, when the method above has not yet saved
        # the image processor.
        self.image_processor.save_pretrained(working_dir)
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> "ViTRetModel":
        """Load a checkpoint. Weights are read from safetensors only.

        Args:
            pretrained_model_name_or_path: Folder or Hub id of a checkpoint of this model.
            *args: Further arguments, passed to `PreTrainedModel.from_pretrained`, which documents them.
            **kwargs: Further arguments, passed to `PreTrainedModel.from_pretrained`, which documents them.

        Returns:
            The model in evaluation mode.

        Raises:
            OSError: There is no such checkpoint, or its weights are pickles (`.bin`), which can run code.
        """
        with _safetensors_alone(pretrained_model_name_or_path):
            kwargs["use_safetensors"] = True
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def from_backbone(
        cls,
        backbone: str | PathLike[str],
        *,
        pooling: str = "cls",
        embedding_dim: int | None = None,
        image_size: int | None = None,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        backbone_overrides: dict[str, Any] | None = None,
        **config_fields: Any,
    ) -> "ViTRetModel":
        """Build a retrieval model around a pretrained vision backbone.

        Args:
            backbone: Hub id or folder of a vision backbone, or of a model that contains one (CLIP, SigLIP).
            pooling: How the tokens are reduced to one vector: `"cls"` takes the class token (the paper's choice);
                `"mean"`, `"max"` and `"gem"` (generalised mean) pool the patch tokens.
            embedding_dim: Length of the embedding. `None` keeps the width of the backbone, as in the paper; an integer
                adds a linear projection.
            image_size: Side in pixels of the square input image at test time. `None`: that of the backbone's image
                processor, or 224 if it has none. Position embeddings are interpolated if the backbone was trained with
                another size.
            dtype: Data type of the weights. The default converts half-precision weights to float32, which training
                needs.
            attn_implementation: Implementation of attention in transformers, such as `"sdpa"`, `"eager"` or
                `"flash_attention_2"`. `None`: the default of transformers for the backbone.
            revision: Branch, tag or commit on the Hub. `None`: the default branch.
            token: Hub token. `None`: the stored one.
            backbone_overrides: Fields of the backbone's configuration to change, such as `{"drop_path_rate": 0.1}`.
            **config_fields: Further fields of `ViTRetConfig`.

        Returns:
            The model in evaluation mode. The backbone has its pretrained weights; the projection, if any, is random.

        Raises:
            ValueError: A field is outside its domain, weights of the backbone are missing in the checkpoint, or the
                checkpoint needs code of its own.
            OSError: There is no such backbone, or its weights are pickles (`.bin`), which can run code.
        """
        hub = {"revision": revision, "token": token}
        source = AutoConfig.from_pretrained(backbone, trust_remote_code=False, **hub)
        backbone_config = getattr(source, "vision_config", source)
        for name, value in (backbone_overrides or {}).items():
            if not hasattr(backbone_config, name):
                raise ValueError(
                    f"backbone_overrides must be fields of {type(backbone_config).__name__}; got {name!r}, which it "
                    "does not have"
                )
            setattr(backbone_config, name, value)
        fields = _pixel_fields(backbone, **hub)
        if image_size is not None:
            fields["image_size"] = image_size
        config = ViTRetConfig(
            backbone_config, pooling=pooling, embedding_dim=embedding_dim, **{**fields, **config_fields}
        )
        if attn_implementation is not None:
            config._attn_implementation = attn_implementation
        model = cls(config)
        with _safetensors_alone(backbone):
            pretrained, report = AutoModel.from_pretrained(
                backbone,
                config=config.backbone_config,
                dtype=dtype,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                **hub,
                **_backbone_kwargs(config.backbone_config),
            )
        if missing := sorted(name for name in report["missing_keys"] if not name.endswith("mask_token")):
            raise ValueError(
                f"expected every weight of a {backbone_config.model_type} backbone in {backbone}; "
                f"{len(missing)} are missing, the first is {missing[0]}: use a checkpoint that has them"
            )
        model.to(dtype)  # type: ignore[arg-type]
        model.backbone.load_state_dict(pretrained.state_dict())
        model.train(False)
        return model

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        return_dict: bool | None = None,
        pooled: torch.Tensor | None = None,
    ) -> ViTRetOutput | tuple[torch.Tensor, ...]:
        """Embed a batch of images, or the output of `pool_images`.

        Args:
            pixel_values: `(batch, 3, height, width)`. Float pixels are normalised already, by the image processor.
                uint8 pixels, 0..255, are resized and cropped only; they are rescaled and normalised here, on the
                device.
            return_dict: `False` returns a tuple instead of `ViTRetOutput`.
            pooled: `(batch, width)` float from `pool_images`, in place of `pixel_values`: the backbone does not run.
                Only the projection can be trained in this way, because the backbone and a learnable GeM exponent have
                been applied already.

        Returns:
            `ViTRetOutput`. The embeddings are float32 whatever the dtype of the weights: half precision has too few
            digits to rank images.

        Raises:
            ValueError: Both or neither of `pixel_values` and `pooled` are given, or `pooled` has another shape.
        """
        hidden, width = None, self.config.hidden_size
        if (pixel_values is None) == (pooled is None):
            given = "neither" if pooled is None else "both"
            raise ValueError(f"expected pixel_values or, in their place, pooled (from pool_images); got {given}")
        if pooled is None:
            pooled, hidden = self.pool_images(pixel_values)  # type: ignore[arg-type]  # one of the two is there
        elif pooled.dim() != 2 or pooled.shape[1] != width:
            raise ValueError(f"expected pooled of shape (batch, {width}), from pool_images; got {tuple(pooled.shape)}")
        if self.projection is not None:
            pooled = self.projection(pooled.to(self.projection.weight.dtype))  # (B, D)
        embeddings = F.normalize(pooled.float(), dim=-1)  # (B, D)
        if return_dict is False:
            return (embeddings,) if hidden is None else (embeddings, hidden)
        return ViTRetOutput(embeddings=embeddings, last_hidden_state=hidden)

    def pool_images(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the backbone and pool its output: the part of `forward` before the projection.

        Args:
            pixel_values: `(batch, 3, height, width)`. Float pixels are normalised already, by the image processor.
                uint8 pixels, 0..255, are resized and cropped only; they are rescaled and normalised here, on the
                device.

        Returns:
            The pooled output, `(batch, width)` float, and the output of the backbone: `(batch, tokens, width)`, or
            `(batch, width, rows, columns)` from a convolutional backbone.
        """
        if pixel_values.dtype == torch.uint8:
            pixel_values = self._normalize(pixel_values)
        extra = {"interpolate_pos_encoding": True} if self._interpolates_on_request else {}
        hidden = self.backbone(pixel_values.to(self.dtype), **extra).last_hidden_state
        return self._pool(hidden), hidden

    def _normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Rescale uint8 `(B, 3, H, W)` to 0..1 and normalise it by the configured mean and deviation."""
        channels = pixels.unbind(dim=1)
        statistics = zip(channels, self.config.image_mean, self.config.image_std)
        normalized = [channel.float() / (255 * std) - mean / std for channel, mean, std in statistics]
        return torch.stack(normalized, dim=1)  # (B, 3, H, W)

    def _pool(self, hidden: torch.Tensor) -> torch.Tensor:
        """Reduce the backbone's output to `(B, C)`."""
        tokens = hidden.flatten(2).transpose(1, 2) if hidden.dim() == 4 else hidden  # (B, T, C)
        patches = tokens[:, self.num_prefix_tokens :]  # (B, P, C)
        if self.config.pooling == "cls":
            pooled = tokens[:, 0]  # of a distilled DeiT too, without its distillation token
        elif self.config.pooling == "mean":
            pooled = patches.mean(dim=1)
        elif self.config.pooling == "max":
            pooled = patches.amax(dim=1)
        elif self.gem is not None:
            pooled = self.gem(patches)
        norm = POOLED_NORMS.get(self.config.backbone_config.model_type)
        return pooled if norm is None else getattr(self.backbone, norm)(pooled.to(tokens.dtype))


@contextmanager
def _safetensors_alone(source: Any) -> Iterator[None]:
    """Explain the error for a checkpoint without safetensors, and stop transformers from having it converted.

    transformers would ask a Space on the Hub to convert the checkpoint, and send the user's token to it.
    """
    switch = "DISABLE_SAFETENSORS_CONVERSION"
    before = os.environ.get(switch)
    os.environ[switch] = "1"
    try:
        yield
    except OSError as error:
        if "model.safetensors" not in str(error):
            raise
        raise OSError(
            f"expected weights as safetensors in {source}; got none. Weights as pickles (pytorch_model.bin) are not "
            "read, because a pickle can run code. If you trust their author, convert them once, with "
            "safetensors.torch's save_file(torch.load('pytorch_model.bin', weights_only=True), 'model.safetensors'), "
            "or on the Hub with https://huggingface.co/spaces/safetensors/convert"
        ) from error
    finally:
        if before is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before


def _backbone_kwargs(backbone_config: Any) -> dict[str, bool]:
    """Return the argument that builds a backbone without its pooler, whose parameters would get no gradient."""
    backbone_class: Any = AutoModel._model_mapping.get(type(backbone_config), nn.Module)
    accepts = "add_pooling_layer" in inspect.signature(backbone_class).parameters
    return {"add_pooling_layer": False} if accepts else {}


def _pixel_fields(backbone: str | PathLike[str], **hub: Any) -> dict[str, Any]:
    """Read image size, mean and standard deviation from the image processor of a backbone; empty if it has none."""
    try:
        processor = AutoImageProcessor.from_pretrained(backbone, **hub)  # type: ignore[no-untyped-call]
    except OSError:
        logger.warning(
            "%s has no image processor: the mean and standard deviation of ImageNet are used, and 224 pixels unless "
            "image_size is given",
            backbone,
        )
        return {}
    size = processor.crop_size or processor.size or {}
    return {
        "image_size": size.get("height") or size.get("shortest_edge") or 224,
        "image_mean": processor.image_mean or IMAGENET_MEAN,
        "image_std": processor.image_std or IMAGENET_STD,
    }
