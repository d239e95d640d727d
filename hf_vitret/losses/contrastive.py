"""The contrastive loss: pull positives together, push negatives below a similarity margin."""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .blockwise import differentiate_blockwise
from .chunks import chunk_rows
from .pair_loss import PairLoss
from .references import Pairs

# Similarities in a block: 1 MiB, 4,096 references for a batch of 64, so that the second product still finds them in
# cache. Time forward and backward at 59,551 references, in units of the fastest matrix products alone: with two threads
# 1.21 for blocks of 2**17, 1.20 for 3 * 2**16 and 1.19 for 2**18; with one thread 1.08 for 2**17, 1.10 for 2**18 and
# 1.14 for 2**20.
_BLOCK = 2**18
# Least number of references in a block: products with fewer are slow.
_MIN_CHUNK = 256
# Special rows (see _special_rows) copied at once: 3 MiB at 384 dimensions.
_GATHER = 2**11
# Labels are compared by these low bits first, in a table of 64 KiB: most references share them with no anchor.
_LABEL_BITS = 2**16 - 1
# Largest share of references that are treated as special rows, whose products are computed twice. Above it, the labels
# of all references are compared, which costs about a fifth of all products.
_MAX_SPECIAL = 1 / 8


class ContrastiveLoss(PairLoss):
    """Sum the contrastive terms of all pairs and divide by the number of anchors.

    ``1/N sum_i [ sum_{j: y_i = y_j} (1 - s_ij) + sum_{j: y_i != y_j} max(s_ij - margin, 0) ]`` with ``s``
    the dot product, N the number of anchors. Self pairs are left out exactly, in value and in gradient.

    Always computed in float32 with autocast off. One pass over blocks of references forms the value and the
    gradient, so a memory of any size costs the two matrix products and one small block of similarities. The loss can
    be differentiated once.

    Args:
        margin: similarity below which a negative costs nothing, in ``[-1, 1)``; the paper's beta.

    Raises:
        ValueError: if ``margin`` is outside ``[-1, 1)``.

    Example:
        Four points on the unit circle, two classes. Both positive pairs have similarity 0.8; the negative pairs above
        0.5 have 0.6, 0.6 and 0.96. Each pair counts twice, once for each of its points as the anchor:
        ``2 (0.2 + 0.2 + 0.1 + 0.1 + 0.46) / 4``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> ContrastiveLoss(margin=0.5)(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.5300)

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, Eq. (1), taken
        literally: a sum over pairs and a mean over anchors. (A mean over pairs has a far smaller scale, at which the
        paper's ``koleo_weight`` would not be the right one.)
    """

    term: ClassVar[str] = "contrastive"
    memory_by_default: ClassVar[bool] = True

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        if not (math.isfinite(margin) and -1.0 <= margin < 1.0):
            raise ValueError(
                f"Expected a margin in [-1, 1), a cosine similarity, got {margin}; the paper uses 0.5, and "
                "at 1 no negative would ever cost anything."
            )
        self.margin = float(margin)

    # Not worth compiling: nearly all of it is matrix products, and the blocks differ with every batch.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _loss(self, pairs: Pairs) -> Tensor:
        return differentiate_blockwise(partial(_blockwise_pass, margin=self.margin), pairs)

    def extra_repr(self) -> str:
        """Show the margin in ``repr``."""
        return f"margin={self.margin}"


def _blockwise_pass(
    pairs: Pairs, needs_grad: bool, needs_ref_grad: bool, *, margin: float
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Pass over the references once; return the loss and its gradients by anchors and references, float32."""
    anchors, refs = pairs.embeddings.float(), pairs.ref_embeddings  # (batch, dim), (num_refs, dim)
    batch, num_refs = len(anchors), len(refs)
    grad = torch.zeros_like(anchors) if needs_grad else None  # (batch, dim)
    ref_grad = anchors.new_empty(refs.shape) if needs_ref_grad else None  # (num_refs, dim)
    sums: list[Tensor] = []  # the sum of the terms of each chunk, a scalar
    chunk_size = max(1, min(chunk_rows(batch, anchors.device, block=_BLOCK, least=_MIN_CHUNK), num_refs))
    buffer = anchors.new_empty(batch * chunk_size)
    starts = range(0, num_refs, chunk_size)
    special = _special_rows(pairs)
    columns: list[Tensor] = []  # the columns of the special rows in each chunk
    if special is not None:
        ends = torch.searchsorted(special, torch.tensor([*starts[1:], num_refs])).tolist()
        columns = [special[a:b] - start for a, b, start in zip([0, *ends], ends, starts)]
    # As few calls as possible for each chunk: a call costs about a thousandth of the chunk's two products.
    for number, (start, chunk) in enumerate(zip(starts, torch.split(refs, chunk_size))):
        chunk = chunk if chunk.dtype == torch.float32 else chunk.float()  # (chunk, dim)
        excess = buffer[: batch * len(chunk)].view(batch, len(chunk))  # (batch, chunk) similarity - margin
        torch.mm(anchors, chunk.t(), out=excess).sub_(margin)
        if special is None:
            stop = start + len(chunk)
            own = None if pairs.self_index is None else torch.arange(start, stop, device=anchors.device)  # (chunk,)
            terms, signs = _labelled_terms(pairs, excess, pairs.ref_labels[start:stop], own, margin)
            sums.append(terms.sum())
        else:
            sums.append(excess.index_fill_(1, columns[number], 0.0).relu_().sum())
            signs = excess.sign_()  # (batch, chunk)
        if grad is not None:
            grad.addmm_(signs, chunk)
        if ref_grad is not None:
            torch.mm(signs.t(), anchors, out=ref_grad[start : start + len(chunk)])
    for rows in () if special is None else torch.split(special, _GATHER):
        chunk = refs[rows].float()  # (special, dim)
        excess = torch.mm(anchors, chunk.t()).sub_(margin)  # (batch, special)
        terms, signs = _labelled_terms(pairs, excess, pairs.ref_labels[rows], rows, margin)
        sums.append(terms.sum())
        if grad is not None:
            grad.addmm_(signs, chunk)
        if ref_grad is not None:
            ref_grad.index_add_(0, rows, signs.t() @ anchors)
    loss = torch.stack(sums).sum() if sums else anchors.new_zeros(())
    for each in (loss, grad, ref_grad):
        if each is not None:
            each.div_(batch)
    return loss, grad, ref_grad


def _labelled_terms(
    pairs: Pairs, excess: Tensor, ref_labels: Tensor, rows: Tensor | None, margin: float
) -> tuple[Tensor, Tensor]:
    """Return the terms of Eq. (1) and their derivatives by the similarity, each ``(batch, rows)`` float32.

    Args:
        pairs: all anchors and references.
        excess: ``(batch, rows)`` float32, similarity - margin, of some references; overwritten.
        ref_labels: ``(rows,)`` int64, the labels of these references.
        rows: ``(rows,)`` int64, the row of each among all references, by which anchors find themselves; ``None`` where
            no anchor is among the references.
        margin: similarity below which a negative costs nothing.
    """
    positive = pairs.labels[:, None] == ref_labels  # (batch, rows) bool
    hinge = excess.relu()
    terms = torch.where(positive, excess.neg_().add_(1.0 - margin), hinge)
    signs = torch.where(positive, -1.0, hinge.sign_())
    if pairs.self_index is not None and rows is not None:
        own = pairs.self_index[:, None] == rows  # (batch, rows) bool
        terms.masked_fill_(own, 0.0)
        signs.masked_fill_(own, 0.0)
    return terms, signs


def _special_rows(pairs: Pairs) -> Tensor | None:
    """Find the references that may be a positive or an anchor itself, ``(special,)`` int64; ``None`` if there are many.

    All other references are negatives of every anchor. Where special rows are few, comparing labels for these alone
    saves most of the work beside the products. On other devices than the CPU the result is always ``None``: the host
    would have to wait for the device to learn their number.
    """
    if pairs.labels.device.type != "cpu":
        return None
    # Every reference with the label of an anchor is found, and few others; the labels are compared afterwards.
    has_anchor = torch.zeros(_LABEL_BITS + 1, dtype=torch.bool)
    has_anchor[pairs.labels & _LABEL_BITS] = True
    is_special = has_anchor[pairs.ref_labels & _LABEL_BITS]  # (num_refs,) bool
    if pairs.self_index is not None:
        is_special[pairs.self_index] = True
    special = is_special.nonzero().squeeze(1)
    return special if len(special) <= _MAX_SPECIAL * len(is_special) else None
