"""The smooth recall@k loss: the share of positives among the first k, with sigmoids in place of step functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .blockwise import differentiate_blockwise
from .pair_loss import PairLoss
from .references import Pairs

# Similarities, or comparisons of two similarities, in a block: 16 MiB, beside a few intermediates of that size.
_BLOCK = 2**22


class SmoothRecallLoss(PairLoss):
    """Average one minus a smooth recall@k over the anchors and the values of k.

    With ``s_ia`` the dot product of anchor i and reference a, ``P_i`` the references of the anchor's label and ``A_i``
    all references, both without the anchor itself, and ``sigma`` the logistic function:

    - rank of a positive: ``r_ip = 1 + sum_{a in A_i, a != p} sigma((s_ia - s_ip) / rank_temperature)``;
    - ``recall_i(k) = min(k, sum_{p in P_i} sigma((k - r_ip) / k_temperature)) / min(k, |P_i|)``;
    - ``1/N sum_{i: P_i not empty} [ 1 - mean_k recall_i(k) ]``, N the number of all anchors.

    This recall is the share of the positives found, not the R@k of metric learning, for which one positive is
    enough. A positive at rank k exactly counts one half, so the loss of a perfect ranking is above 0: with a
    ``k_temperature`` of 1 and one positive, it is 0.5 for ``k = 1`` and 0.27 for ``k = 2``.

    Always computed in float32 with autocast off. Each positive is compared with all references, so the cost grows with
    the number of positive pairs times the number of references. The anchors are taken in blocks and their positives in
    parts. Each part is compared twice, for the ranks and for the gradient, which the same pass forms, so that memory is
    bounded. The host waits for the device once for each block, to learn how many positives it has. The loss can be
    differentiated once. A run has no memory by default: the paper ranks the batch alone.

    Args:
        ks: lengths of the list in which positives are to be found, each at least 1.
        rank_temperature: difference of similarities over which a rank changes smoothly by 1, above 0.
        k_temperature: difference of ranks over which a positive smoothly drops out of the list, above 0.

    Raises:
        ValueError: if ``ks`` is empty or holds a number below 1, or a temperature is not positive and finite.

    Example:
        Each anchor's one positive is first, far ahead of the negatives: its rank is 1, the recall is ``sigma(0)`` at 1
        and ``sigma(1)`` at 2, and the loss is ``1 - (0.5 + 0.7311) / 2``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> SmoothRecallLoss(ks=(1, 2))(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.3845)

    Reference:
        Patel et al., "Recall@k Surrogate Loss with Large Batches and Similarity Mixup", arXiv 2108.11179, with
        its temperatures and values of k. As in the official code (``src/losses.py``), the number of found positives is
        at most k and is divided by ``min(k, |P_i|)``; recall itself divides by ``|P_i|``, which a small k cannot reach.
        Deviations from that code: the anchor is not ranked among its own references (in that code it is, so that every
        rank is one too high and nothing is first); there is one ``k_temperature`` (in that code 1, 2, 4, 8 and 16 for
        these k); classes have any size and any order; anchors are compared with references; anchors without a positive
        add 0. The similarity mixup is left out.
    """

    term: ClassVar[str] = "smooth_recall"

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4, 8, 16),
        rank_temperature: float = 0.01,
        k_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if not ks or min(ks) < 1:
            raise ValueError(
                f"Expected ks of at least one number, each at least 1, got {tuple(ks)}; the default is "
                "(1, 2, 4, 8, 16)."
            )
        for name, value, default in (
            ("rank_temperature", rank_temperature, 0.01),
            ("k_temperature", k_temperature, 1.0),
        ):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Expected a finite {name} above 0, got {value}; the default is {default}.")
        self.ks = tuple(int(k) for k in ks)
        self.rank_temperature = float(rank_temperature)
        self.k_temperature = float(k_temperature)

    # Not worth compiling: the number of positives, and with it every shape, differs with every batch.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _loss(self, pairs: Pairs) -> Tensor:
        blockwise_pass = partial(
            _blockwise_pass, ks=self.ks, rank_temperature=self.rank_temperature, k_temperature=self.k_temperature
        )
        return differentiate_blockwise(blockwise_pass, pairs)

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        return f"ks={self.ks}, rank_temperature={self.rank_temperature}, k_temperature={self.k_temperature}"


def _blockwise_pass(
    pairs: Pairs,
    needs_grad: bool,
    needs_ref_grad: bool,
    *,
    ks: tuple[int, ...],
    rank_temperature: float,
    k_temperature: float,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the loss and its gradients by anchors and references, float32."""
    anchors, refs = pairs.embeddings.float(), pairs.ref_embeddings.float()  # (batch, dim), (num_refs, dim)
    batch = len(anchors)
    rows_at_once = max(1, _BLOCK // max(1, len(refs)))
    total = anchors.new_zeros(())
    grad = torch.zeros_like(anchors) if needs_grad else None
    ref_grad = torch.zeros_like(refs) if needs_ref_grad else None
    for start in range(0, batch, rows_at_once):
        rows = slice(start, min(start + rows_at_once, batch))
        similarities = anchors[rows] @ refs.t()  # (block, num_refs)
        positive = pairs.labels[rows, None] == pairs.ref_labels  # (block, num_refs) bool
        if pairs.self_index is not None:
            own = pairs.self_index[rows, None]  # (block, 1)
            positive.scatter_(1, own, False)
            similarities.scatter_(1, own, -math.inf)  # the lowest of all, so that it adds 0 to every rank
        anchor, target = positive.nonzero(as_tuple=True)  # (num_pairs,), (num_pairs,)
        parts = list(zip(torch.split(anchor, rows_at_once), torch.split(target, rows_at_once)))
        above = [_above(similarities, *part, rank_temperature).sum(dim=1) for part in parts]
        ranks = torch.cat(above).add_(1.0)  # (num_pairs,)
        terms, slopes = _recall_terms(ranks, anchor, positive.sum(dim=1), ks, k_temperature)
        total += terms.sum()
        if grad is None and ref_grad is None:
            continue
        weights = torch.zeros_like(similarities)  # (block, num_refs) d terms / d similarities
        for (anchors_of, targets_of), slope in zip(parts, torch.split(slopes, rows_at_once)):
            share = _above(similarities, anchors_of, targets_of, rank_temperature)  # (part, num_refs)
            share = share.mul_(1.0 - share).mul_(slope[:, None] / (rank_temperature * batch))
            weights.index_put_((anchors_of, targets_of), -share.sum(dim=1), accumulate=True)
            weights.index_add_(0, anchors_of, share)
        if grad is not None:
            torch.mm(weights, refs, out=grad[rows])
        if ref_grad is not None:
            ref_grad.addmm_(weights.t(), anchors[rows])
    return total / batch, grad, ref_grad


def _above(similarities: Tensor, anchor: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return how clearly each reference is ranked above a positive: 0 to 1, and 0 for the positive itself.

    Args:
        similarities: ``(block, num_refs)`` float32.
        anchor: ``(pairs,)`` int64, the anchor of each positive pair, a row of ``similarities``.
        target: ``(pairs,)`` int64, the positive of each pair, a column of ``similarities``.
        temperature: difference of similarities over which the result changes smoothly.

    Returns:
        ``(pairs, num_refs)`` float32.
    """
    chosen = similarities[anchor]  # (pairs, num_refs)
    at = target[:, None]  # (pairs, 1)
    above = chosen.sub_(chosen.gather(1, at)).div_(temperature).sigmoid_()
    return above.scatter_(1, at, 0.0)


def _recall_terms(
    ranks: Tensor, anchor: Tensor, num_positives: Tensor, ks: tuple[int, ...], temperature: float
) -> tuple[Tensor, Tensor]:
    """Return each anchor's ``1 - mean_k recall(k)`` and its derivative by the rank of each positive.

    Args:
        ranks: ``(pairs,)`` float32, the rank of each positive.
        anchor: ``(pairs,)`` int64, the anchor of each positive.
        num_positives: ``(block,)`` int64, the number of positives of each anchor.
        ks: lengths of the list in which positives are to be found.
        temperature: difference of ranks over which a positive smoothly drops out of the list.

    Returns:
        The terms, ``(block,)`` float32, 0 for an anchor without a positive, and the derivatives, ``(pairs,)`` float32.
    """
    lengths = ranks.new_tensor(ks)  # (num_ks,)
    hits = ((lengths - ranks[:, None]) / temperature).sigmoid_()  # (pairs, num_ks)
    found = ranks.new_zeros(len(num_positives), len(ks)).index_add_(0, anchor, hits)  # (block, num_ks)
    best = torch.minimum(lengths, num_positives[:, None].clamp(min=1))  # (block, num_ks)
    recalls = torch.minimum(found, lengths) / best
    terms = torch.where(num_positives > 0, 1.0 - recalls.mean(dim=1), 0.0)  # (block,)
    open_share = (found < lengths) / (best * len(ks))  # (block, num_ks): beyond k, more found positives change nothing
    slopes = (open_share[anchor] * hits * (1.0 - hits)).sum(dim=1) / temperature  # (pairs,)
    return terms, slopes
