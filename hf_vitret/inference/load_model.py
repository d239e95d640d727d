"""`load_model`: a retrieval model from a trained checkpoint or from a pretrained backbone."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch
from transformers import AutoConfig

from ..models.configuration_vitret import ViTRetConfig
from ..models.modeling_vitret import ViTRetModel
from .devices import choose_device
from .find_checkpoint import find_checkpoint
from .self_contained import check_self_contained


def load_model(
    source: str | PathLike[str],
    *,
    revision: str | None = None,
    pooling: str = "cls",
    image_size: int | None = None,
    resize_size: int | None = None,
    resize_mode: str | None = None,
    device: str | None = None,
) -> ViTRetModel:
    """Load a ViTRet checkpoint, or a pretrained backbone with a pooling that has no weights, ready to embed.

    Args:
        source: Folder or Hub id of a ViTRet checkpoint, or of a vision backbone (the paper's IRT_O); or the output
            folder of a training run, whose folder `final` is loaded.
        revision: Branch, tag or commit on the Hub.
        pooling: How the tokens of a backbone become one vector: `"cls"`, `"mean"`, `"max"` or `"gem"`. A checkpoint
            keeps its own pooling.
        image_size: Side in pixels of the square input image. None: that of the checkpoint, or of the backbone's image
            processor. Position embeddings are interpolated.
        resize_size: Side in pixels to which an image is resized before the centre crop. None: 256/224 of `image_size`
            if that is given, else that of the model.
        resize_mode: `"shortest_edge"` or `"square"`. None: that of the model.
        device: Device of the model: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`. None: the accelerator of this machine, or
            the CPU if it has none.

    Returns:
        The model in evaluation mode, with float32 weights.

    Raises:
        ValueError: A setting is outside its domain, this machine has no such device, or the checkpoint is refused, and
            none of its code is run: it names files or code outside itself, needs code of its own, or has its weights
            only as pickles.
        OSError: There is no such model.
    """
    target = choose_device(device)
    source = find_checkpoint(source)
    try:
        check_self_contained(source, revision)
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except OSError as error:  # transformers does not always name the model
        raise OSError(f"expected a model in {source}, a folder or an id on the Hub: {error}") from error
    if config.model_type == ViTRetConfig.model_type:
        model = ViTRetModel.from_pretrained(source, revision=revision or "main", dtype=torch.float32)
    else:
        model = ViTRetModel.from_backbone(source, revision=revision, pooling=pooling)
    if image_size or resize_size or resize_mode:
        _set_image_size(model.config, image_size, resize_size, resize_mode)
    model.train(False)
    model.to(target)  # type: ignore[arg-type]  # transformers' own wrapper
    return model


def model_name(source: str | PathLike[str]) -> str:
    """Return the name of a model for a report: its id on the Hub, or the last two parts of its path.

    Example:
        >>> model_name("facebook/dinov2-small"), model_name("no/such/folder/final")
        ('facebook/dinov2-small', 'no/such/folder/final')
    """
    path = Path(source)
    return "/".join(path.resolve().parts[-2:]) if path.exists() else str(source)


def _set_image_size(
    config: ViTRetConfig, image_size: int | None, resize_size: int | None, resize_mode: str | None
) -> None:
    """Change the fields of the configuration from which the image processor is derived."""
    if image_size is None and resize_size is None:
        image_size, resize_size = config.image_size, config.resize_size
    checked = ViTRetConfig(
        config.backbone_config,
        image_size=config.image_size if image_size is None else image_size,
        resize_size=resize_size,
        resize_mode=config.resize_mode if resize_mode is None else resize_mode,
    )
    for name in ("image_size", "resize_size", "resize_mode"):
        setattr(config, name, getattr(checked, name))
