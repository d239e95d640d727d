"""Normalised discounted cumulative gain of each query as a pure function of the ranks and gains of its right items."""

from __future__ import annotations

import math

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums


def ndcg_at_k(ranks: torch.Tensor, gains: torch.Tensor, k: int) -> torch.Tensor:
    """Compute nDCG@k for each query: its discounted gain up to k over that of the best order.

    An item at 0-based rank r < k adds its gain over log2(r + 2). The gain is the grade itself, as in scikit-learn and
    trec_eval; for the exponential gain of web search pass `2**grade - 1`.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, in any order; the largest int64 fills.
        gains: `(num_queries, max_positives)` float64, above 0; 0 fills.
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
    """Compute the expected nDCG@k of each query where items that tie come in random order.

    Args:
        num_ahead: `(num_queries, max_positives)` int64, the items strictly ahead of each right one.
        num_tied: `(num_queries, max_positives)` int64, those that tie with it, itself included.
        gains: `(num_queries, max_positives)` float64, above 0; 0 fills.
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
    # Of the places up to each, and no further; on a CPU one after another, whatever the device.
    sums = torch.nn.functional.pad(discounts[:-1].cumsum(dim=0), (1, 0)).to(gains.device)
    return _normalised(gains, (sums[ends] - sums[num_ahead.clamp(max=k).minimum(ends)]) / num_tied, k)


def _discounts(length: int, device: torch.device) -> torch.Tensor:
    """Return the discounts of the first places and a 0 for all beyond, `(length + 1,)` float64."""
    values = [1 / math.log2(rank + 2) for rank in range(length)]  # one by one: vector units round otherwise
    return torch.tensor([*values, 0.0], dtype=torch.float64, device=device)


def _normalised(gains: torch.Tensor, discounts: torch.Tensor, k: int) -> torch.Tensor:
    """Divide the discounted gains of each query, `(num_queries, max_positives)` both, by those of the best order."""
    shares = gains / gains.max(dim=1, keepdim=True).values  # within [0, 1], for exact sums
    best = shares.sort(dim=1, descending=True).values[:, :k]
    ideal = row_sums(best * _discounts(best.shape[1], gains.device)[:-1])
    return row_sums(shares * discounts) / ideal
