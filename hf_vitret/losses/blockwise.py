"""Blockwise losses: the forward pass also forms the gradient, so that no matrix of all pairs is kept for backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .references import Pairs

BlockwisePass = Callable[[Pairs, bool, bool], tuple[Tensor, Tensor | None, Tensor | None]]


def differentiate_blockwise(blockwise_pass: BlockwisePass, pairs: Pairs) -> Tensor:
    """Compute a loss and its gradient in one pass with autocast off, and return the loss, differentiable once.

    Backward only scales the gradient that the forward pass formed. So nothing of size ``batch x num_refs`` is kept, and
    the references (views of a memory, which the next step overwrites) are not needed any more.

    Args:
        blockwise_pass: ``blockwise_pass(pairs, needs_grad, needs_ref_grad)`` returns the loss, a float32 scalar, and
            its gradients by the anchors ``(batch, dim)`` and by the references ``(num_refs, dim)``, float32, each
            ``None`` where it is not needed. It runs without autograd.
        pairs: anchors and references after the checks.

    Returns:
        Scalar float32.
    """
    if not torch.is_grad_enabled():
        pairs = pairs._replace(embeddings=pairs.embeddings.detach(), ref_embeddings=pairs.ref_embeddings.detach())
    loss: Tensor = _BlockwiseLoss.apply(blockwise_pass, *pairs)
    return loss


class _BlockwiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blockwise_pass: BlockwisePass, *tensors: Any) -> Tensor:
        pairs = Pairs(*tensors)
        with torch.autocast(pairs.embeddings.device.type, enabled=False):
            loss, grad, ref_grad = blockwise_pass(pairs, ctx.needs_input_grad[1], ctx.needs_input_grad[3])
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
