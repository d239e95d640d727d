"""`with_projection`: make a PCA or a whitening a layer of the model, which then returns shorter embeddings."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


@torch.no_grad()
def with_projection(model: nn.Module, mean: torch.Tensor, matrix: torch.Tensor) -> nn.Module:
    """Return a copy of a model that centres and projects its vectors: embeddings are `normalize(A (x - mean))`.

    The projection is a layer of the model, so that `save_pretrained`, `push_to_hub`, `from_pretrained` and `AutoModel`
    treat it like any other weight. If the model has a projection already, the two are combined into one layer.

        with_projection(model, pca.mean, pca.components[:128])
        with_projection(model, whitening.mean, whitening.components[:128])

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`. It does not change.
        mean: `(width,)` float; width is the dimension of the model's embeddings.
        matrix: `(dim, width)` float; dim is the dimension of the new embeddings.

    Returns:
        A model of the same class, on the same device and in the same mode, whose `config.embedding_dim` is dim. The
        layer has the dtype of the model's weights. In float32 the embeddings differ from those of the separate steps by
        about 1e-6.

    Raises:
        TypeError: The model is not a `ViTRetModel`.
        ValueError: The shapes do not match.
    """
    if not hasattr(model, "pool_images") or not hasattr(model, "projection"):
        raise TypeError(
            f"expected a ViTRetModel, whose projection can be set; got {type(model).__name__}: load the backbone with "
            "ViTRetModel.from_backbone"
        )
    config: Any = model.config
    if matrix.ndim != 2 or tuple(mean.shape) != (matrix.shape[1],) or matrix.shape[1] != config.output_dim:
        width = config.output_dim
        raise ValueError(
            f"expected mean ({width},) and matrix (dim, {width}), the width of the model's embeddings; got "
            f"{tuple(mean.shape)} and {tuple(matrix.shape)}: fit on embed_images(model, ..., normalize=False)"
        )
    parameter = next(model.parameters())
    weight, mean = (each.to(parameter.device, torch.float64) for each in (matrix, mean))
    bias = -weight @ mean
    before: Any = model.projection
    if before is not None:
        weight, bias = weight @ before.weight.double(), bias + weight @ before.bias.double()
    projected: Any = copy.deepcopy(model)
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=parameter.device, dtype=parameter.dtype)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    projected.projection = layer.train(model.training)
    projected.config.embedding_dim = len(weight)
    return projected  # type: ignore[no-any-return]
