"""Losses that form their gradient while they walk the pairs, so that no walk has to be kept for backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .references import Pairs

Walk = Callable[[Pairs, bool, bool], tuple[Tensor, Tensor | None, Tensor | None]]


def differentiate_walk(walk: Walk, pairs: Pairs) -> Tensor:
    """Run a walk with autocast off and make its value differentiable, once.

    Backward only scales what the forward walk formed. So nothing of size ``batch x num_refs`` is kept, and
    the references (views of a memory, which the next step overwrites) are not needed any more.

    Args:
        walk: ``walk(pairs, needs_grad, needs_ref_grad)`` returns the loss, a float32 scalar, and its gradients
            by the anchors ``(batch, dim)`` and the references ``(num_refs, dim)``, float32, each ``None``
            where it is not needed. It runs without autograd.
        pairs: anchors and references after the checks.

    Returns:
        Scalar float32.
    """
    if not torch.is_grad_enabled():
        pairs = pairs._replace(embeddings=pairs.embeddings.detach(), ref_embeddings=pairs.ref_embeddings.detach())
    loss: Tensor = _Walked.apply(walk, *pairs)
    return loss


class _Walked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, walk: Walk, *tensors: Any) -> Tensor:
        pairs = Pairs(*tensors)
        with torch.autocast(pairs.embeddings.device.type, enabled=False):
            loss, grad, ref_grad = walk(pairs, ctx.needs_input_grad[1], ctx.needs_input_grad[3])
        ctx.save_for_backward(grad, ref_grad)
        ctx.dtypes = pairs.embeddings.dtype, pairs.ref_embeddings.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        grad, ref_grad = (
            None if grad is None else (grad * grad_output).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes)
        )
        return None, grad, None, ref_grad, None, None
