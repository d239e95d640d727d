"""A model to search with, from whatever a name stands for: a trained checkpoint, or a backbone off the shelf."""

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
    """Load a ViTRet checkpoint, or put a retrieval head without weights on a backbone, ready to embed.

    Args:
        source: Folder or Hub id of a ViTRet checkpoint, or of a vision backbone (the paper's IRT_O); or the output folder
            of a training run, whose `final` is taken.
        revision: Branch, tag or commit on the Hub.
        pooling: Of a plain backbone: how tokens become one vector; a checkpoint keeps its own.
        image_size: Side in pixels of the image that the model sees. None: the checkpoint's, or that of the backbone's
            image processor. Position embeddings are interpolated.
        resize_size: Side before the centre crop. None: 256/224 of `image_size` where that is given, else the model's.
        resize_mode: `"shortest_edge"` or `"square"`. None: the model's.
        device: Where the model is put, as torch spells it: `"cpu"`, `"cuda:1"`. None: an accelerator where there is one.

    Returns:
        The model in evaluation mode, float32.

    Raises:
        ValueError: A setting is outside its domain; or the checkpoint names files or code outside itself, needs code
            of its own, or has its weights as pickles alone: it is refused, and nothing of it is run.
        OSError: There is no such model.
    """
    target = choose_device(device)
    source = find_checkpoint(source)
    try:
        check_self_contained(source, revision)
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except OSError as error:  # transformers does not always say which model it was after
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
    """Name a model in a report: its id on the Hub; of a folder the last two parts, the rest is its maker's business.

    Example:
        >>> model_name("facebook/dinov2-small"), model_name("no/such/folder/final")
        ('facebook/dinov2-small', 'no/such/folder/final')
    """
    path = Path(source)
    return "/".join(path.resolve().parts[-2:]) if path.exists() else str(source)


def _set_image_size(
    config: ViTRetConfig, image_size: int | None, resize_size: int | None, resize_mode: str | None
) -> None:
    """Change what the image processor does, which is derived from these fields."""
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
