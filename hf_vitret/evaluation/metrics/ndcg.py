"""Normalised discounted cumulative gain (nDCG) of each query, from the ranks and the gains of its positives."""

from __future__ import annotations

import math

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums


def ndcg_at_k(ranks: torch.Tensor, gains: torch.Tensor, k: int) -> torch.Tensor:
    """Compute nDCG@k of each query: its discounted gain up to k, divided by that of the best possible order.

    An item at 0-based rank r < k adds its gain divided by log2(r + 2). The gain is the grade itself, as in scikit-learn
    and trec_eval. For the exponential gain of web search, pass `2**grade - 1`.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives in any order; the largest int64
            fills the rest of a row.
        gains: `(num_queries, max_positives)` float64, the gains of the same items, above 0; zeros fill the rest of a
            row.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1], nan for a query without a gain.

    Reference:
        Järvelin and Kekäläinen, Cumulated Gain-based Evaluation of IR Techniques, 2002; with the discount log2(r + 2)
        of Burges et al., Learning to Rank using Gradient Descent, 2005.

    Example:
        >>> ndcg_at_k(torch.tensor([[0, 2]]), torch.tensor([[1.0, 3.0]]).double(), k=10)  # 2.5 / 3.6309
        tensor([0.6885], dtype=torch.float64)
    """
    is_found = ranks < k
    last = int(ranks[is_found].max()) + 1 if is_found.any() else 0
    discounts = _discounts(last, ranks.device)
    return _normalised(gains, discounts[ranks.clamp(max=last)], k)


def expected_ndcg_at_k(num_ahead: torch.Tensor, num_tied: torch.Tensor, gains: torch.Tensor, k: int) -> torch.Tensor:
    """Compute the expected nDCG@k of each query, over all orders of the items that tie.

    Args:
        num_ahead: `(num_queries, max_positives)` int64, the number of items strictly ahead of each positive.
        num_tied: `(num_queries, max_positives)` int64, the number of items that tie with each positive, itself
            included.
        gains: `(num_queries, max_positives)` float64, the gains of the positives, above 0; zeros fill the rest of a
            row.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1], nan for a query without a gain.

    Reference:
        McSherry and Najork, ECIR 2008, section 3.6.

    Example:
        >>> ones = torch.ones(1, 1, dtype=torch.int64)
        >>> expected_ndcg_at_k(0 * ones, 2 * ones, ones.double(), k=10)  # (1 + 1 / log2(3)) / 2
        tensor([0.8155], dtype=torch.float64)
    """
    is_item = gains > 0
    num_ahead, num_tied = num_ahead.where(is_item, 0), num_tied.where(is_item, 1)
    ends = (num_ahead + num_tied).clamp(max=k)
    discounts = _discounts(int(ends.max()) if ends.numel() else 0, torch.device("cpu"))
    # Sums of the discounts of the first ranks. They are computed on a CPU, whatever the device, so that the additions
    # run in one fixed order.
    sums = torch.nn.functional.pad(discounts[:-1].cumsum(dim=0), (1, 0)).to(gains.device)
    return _normalised(gains, (sums[ends] - sums[num_ahead.clamp(max=k).minimum(ends)]) / num_tied, k)


def _discounts(length: int, device: torch.device) -> torch.Tensor:
    """Return the discounts of the ranks below `length`, and a 0 for all ranks beyond, `(length + 1,)` float64."""
    # One by one, because a vectorised log2 rounds differently.
    values = [1 / math.log2(rank + 2) for rank in range(length)]
    return torch.tensor([*values, 0.0], dtype=torch.float64, device=device)


def _normalised(gains: torch.Tensor, discounts: torch.Tensor, k: int) -> torch.Tensor:
    """Divide the discounted gains of each query by those of the best order.

    Args:
        gains: `(num_queries, max_positives)` float64, the gains of the positives.
        discounts: `(num_queries, max_positives)` float64, the discounts at their ranks.
        k: The cut-off.

    Returns:
        `(num_queries,)` float64 in [0, 1].
    """
    shares = gains / gains.max(dim=1, keepdim=True).values  # in [0, 1], as row_sums expects
    best = shares.sort(dim=1, descending=True).values[:, :k]
    ideal = row_sums(best * _discounts(best.shape[1], gains.device)[:-1])
    return row_sums(shares * discounts) / ideal
