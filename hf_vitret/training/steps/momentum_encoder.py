"""The momentum encoder, an exponential moving average of the model that computes the embeddings in the memory."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from ..training_args import RetrievalTrainingArguments


class MomentumEncoder(nn.Module):
    """Keep an exponential moving average of the weights of a model, and embed images with it.

    The embeddings in the memory then come from nearly the same model, even if the trained model changes fast. The
    average runs in evaluation mode and never has a gradient. The embeddings of the batch and the evaluation come from
    the trained model.

    Args:
        model: The model to average; it is copied.
        momentum: Weight of the old average in an update, above 0 and below 1.
        autocast_dtype: `torch.bfloat16` or `torch.float16` embeds under autocast; `None` embeds in the type of the
            weights.

    Raises:
        ValueError: `momentum` is outside its range.

    Reference:
        He et al., arXiv 1911.05722, Eq. (2). El-Nouby et al., arXiv 2102.05644, section 4.1, use 0.999, and only for
        In-Shop. Deviation: the average runs in evaluation mode, without drop-path, which the paper's backbones do not
        have.
    """

    def __init__(self, model: nn.Module, momentum: float, autocast_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        if not 0 < momentum < 1:
            raise ValueError(f"momentum must be above 0 and below 1 (the paper: 0.999); got {momentum}")
        self.momentum = momentum
        self.autocast_dtype = autocast_dtype
        self.encoder = copy.deepcopy(model).requires_grad_(False)
        self.encoder.train(False)

    def train(self, mode: bool = True) -> "MomentumEncoder":
        """Stay in evaluation mode, whatever `mode` is."""
        return self

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model after an optimiser step: `average = m * average + (1 - m) * weight`."""
        followed = dict(model.named_parameters())
        names, averages = zip(*self.encoder.named_parameters())
        torch._foreach_lerp_(list(averages), [followed[name].detach() for name in names], 1 - self.momentum)
        buffers = dict(model.named_buffers())
        for name, buffer in self.encoder.named_buffers():
            buffer.copy_(buffers[name])

    @torch.no_grad()
    def forward(self, images: Mapping[str, torch.Tensor], micro_batch_size: int | None = None) -> torch.Tensor:
        """Embed a batch.

        Args:
            images: The model's arguments by name, `pixel_values` or `pooled`, each `(batch, ...)`.
            micro_batch_size: Number of images embedded at once; `None` embeds all of them at once.

        Returns:
            `(batch, dim)` float32.
        """
        device_type = next(iter(images.values())).device.type
        parts = [torch.split(values, micro_batch_size or len(values)) for values in images.values()]
        with torch.autocast(device_type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            embedded = [self.encoder(**dict(zip(images, part))).embeddings for part in zip(*parts)]
        return torch.cat(embedded)


def build_momentum_encoder(
    model: nn.Module, args: RetrievalTrainingArguments, loss: nn.Module | None, *, is_sharded: bool
) -> MomentumEncoder | None:
    """Build the momentum encoder of a run, if its settings have one.

    Args:
        model: The model to average.
        args: The settings of the run.
        loss: The loss of the run, whose memory holds the embeddings of the encoder.
        is_sharded: Whether each process has only a part of the model.

    Returns:
        The encoder on the device of the run; `None` if `args.memory_momentum` is 0.

    Raises:
        ValueError: The loss has no memory, or the model is sharded.
    """
    if not args.memory_momentum:
        return None
    if getattr(loss, "memory", None) is None:
        raise ValueError(
            "memory_momentum needs a memory, whose embeddings the momentum encoder computes; got a loss without one. "
            "Set memory_size, or set memory_momentum to 0"
        )
    if is_sharded:
        raise ValueError(
            "memory_momentum needs the whole model on each process; got a sharded model. Train without sharding "
            "(recipes/accelerate/multi_gpu.yaml), or set memory_momentum to 0"
        )
    return MomentumEncoder(model, args.memory_momentum, args.autocast_dtype).to(args.device)
