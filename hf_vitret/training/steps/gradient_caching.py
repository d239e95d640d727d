"""Gradient caching: the exact gradient of a large batch, with the activations of one micro-batch in memory."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import get_device_states, set_device_states


class CachedBatch:
    """Embed a batch in micro-batches, and propagate the gradient of its embeddings in micro-batches.

    First every micro-batch is embedded without a graph. The caller computes a loss of all embeddings, and its backward
    pass gives the gradient of each embedding. Then `backward` embeds each micro-batch again, with a graph, and
    propagates the gradient of its embeddings to the weights. The random numbers of the first pass are replayed, so that
    dropout and drop-path are the same in both passes; the pixels are kept, so that the augmentation is the same. The
    gradient is that of one step without caching; the cost is one more forward pass.

    Args:
        model: The wrapped model, whose output has `embeddings`.
        images: The model's arguments by name, `pixel_values` or `pooled`, each `(batch, ...)`.
        micro_batch_size: Number of images embedded at once.
        no_sync: A function that returns a context in which `backward` does not exchange gradients between processes.
            All micro-batches but the last run in it, so that a step has one all-reduce.

    Attributes:
        embeddings: `(batch, dim)` float, a leaf that collects the gradient of the loss.

    Reference:
        Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv 2101.06983.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Mapping[str, torch.Tensor],
        micro_batch_size: int,
        no_sync: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._model = model
        self._no_sync = no_sync
        parts = {name: torch.split(values, micro_batch_size) for name, values in images.items()}
        self._parts = [dict(zip(parts, part)) for part in zip(*parts.values())]
        self._random_states: list[tuple[torch.Tensor, list[int], list[torch.Tensor]]] = []
        embedded = []
        with torch.no_grad():
            for part in self._parts:
                devices, states = get_device_states(*part.values())
                self._random_states.append((torch.get_rng_state(), devices, states))
                embedded.append(model(**part).embeddings)
        self.embeddings: torch.Tensor = torch.cat(embedded).requires_grad_()  # (B, D)

    def backward(self) -> None:
        """Add the gradients of the weights, after the backward pass of the loss has set that of `embeddings`.

        Raises:
            ValueError: `embeddings` has no gradient.
        """
        if self.embeddings.grad is None:
            raise ValueError("expected the gradient of the embeddings; got none. Call backward of the loss first")
        gradients = torch.split(self.embeddings.grad, [len(next(iter(part.values()))) for part in self._parts])
        for number, (part, gradient) in enumerate(zip(self._parts, gradients)):
            cpu_state, devices, states = self._random_states[number]
            device_type = gradient.device.type if devices else "cuda"
            is_last = number == len(self._parts) - 1
            with (
                torch.random.fork_rng(devices, device_type=device_type),
                nullcontext() if is_last else self._no_sync(),
            ):
                torch.set_rng_state(cpu_state)
                set_device_states(devices, states, device_type=device_type)
                self._model(**part).embeddings.backward(gradient)
