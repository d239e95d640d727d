"""A batch of thousands with the memory of a micro-batch: embed twice, keep the activations of one part at a time."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import get_device_states, set_device_states


class CachedBatch:
    """Embed a batch part by part, and bring the gradient of its embeddings to the weights part by part.

    First every part is embedded without a graph. The loss of the whole batch, whatever it is, then gives the
    gradient of each embedding. Last, `backward` embeds each part once more, with a graph, and applies its share. The
    random numbers of the first time are replayed, so dropout and drop-path are the same both times; the pixels are
    kept, so the augmentation is. The gradient is that of the plain step; the price is one more forward pass.

    Args:
        model: The wrapped model; its output has `embeddings`.
        images: The model's arguments, each `(batch, ...)`: `pixel_values` or `pooled`.
        micro_batch_size: Images embedded at once.
        no_sync: Gives a context in which `backward` does not exchange gradients between processes. All parts but
            the last run in it, so a step has one all-reduce.

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
        self.embeddings: torch.Tensor = torch.cat(embedded).requires_grad_()  # (B, D), a leaf

    def backward(self) -> None:
        """Add the weights' gradients, once the loss's own backward has left that of `embeddings`.

        Raises:
            ValueError: `embeddings` has no gradient.
        """
        if self.embeddings.grad is None:
            raise ValueError("expected the gradient of the embeddings; got none: call the loss's backward first")
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
