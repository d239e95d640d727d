"""Retrieval metrics of each query as pure functions of the ranks of its right items."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED


def recall_at_k(ranks: torch.Tensor, k: int) -> torch.Tensor:
    """Tell for each query whether its best positive is among the first k items.

    This is recall in the metric-learning sense. Elsewhere it is accuracy@k, hit rate or success@k.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending along a row.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64, 0 or 1.

    Reference:
        Oh Song et al., arXiv 1511.06452, section 6.

    Example:
        >>> recall_at_k(torch.tensor([[0, 3], [2, 3]]), k=2)
        tensor([1., 0.], dtype=torch.float64)
    """
    return (ranks[:, 0] < k).double()


def precision_at_k(ranks: torch.Tensor, k: int) -> torch.Tensor:
    """Compute for each query the share of correct items among its first k.

    The divisor is k, also where the query has fewer positives or the gallery fewer items: then 1 is out of reach.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; all below k resolved.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, section 8.4.

    Example:
        >>> precision_at_k(torch.tensor([[0, 3], [0, 1]]), k=4)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    return (ranks < k).sum(dim=1).double() / k


def r_precision(ranks: torch.Tensor, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute for each query the share of correct items among its first R, its number of positives.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; rows with fewer end in ranks of at
            least R.
        num_positives: `(num_queries,)` int64, at least 1: R.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Musgrave et al., arXiv 2003.08505, section 3.2.

    Example:
        >>> r_precision(torch.tensor([[0, 3], [0, 1]]), torch.tensor([2, 2]))
        tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    return (ranks < num_positives.unsqueeze(1)).sum(dim=1) / num_positives.double()


def reciprocal_rank(ranks: torch.Tensor) -> torch.Tensor:
    """Compute for each query 1 over the 1-based rank of its best positive; its mean is the MRR.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; `UNRESOLVED` where nothing was found.

    Returns:
        `(num_queries,)` float64 in [0, 1], 0 where nothing was found.

    Reference:
        Voorhees, The TREC-8 Question Answering Track Report, 1999.

    Example:
        >>> reciprocal_rank(torch.tensor([[0, 3], [3, 7]]))
        tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    best = ranks[:, 0]
    return (1.0 / (best.double() + 1.0)).masked_fill(best == UNRESOLVED, 0.0)


def map_at_r(ranks: torch.Tensor, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute MAP@R for each query: the sum of P(i) over the correct items i <= R, divided by R.

    P(i) is the precision of the first i items, and R the number of positives.
    The j-th correct item at 0-based rank r (j from 0) has precision (j + 1) / (r + 1).

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; rows with fewer end in ranks of at
            least R.
        num_positives: `(num_queries,)` int64, at least 1: R.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Musgrave et al., arXiv 2003.08505, section 3.2, equations 1 and 2.

    Example:
        >>> map_at_r(torch.tensor([[0, 2, 3]]), torch.tensor([3]))  # (1/1 + 2/3) / 3
        tensor([0.5556], dtype=torch.float64)
    """
    return _sum_of_precisions(ranks, ranks < num_positives.unsqueeze(1)) / num_positives


def map_at_k(ranks: torch.Tensor, num_positives: torch.Tensor, k: int) -> torch.Tensor:
    """Compute mAP@k for each query: the sum of P(i) over the correct items i <= k, divided by min(k, R).

    The divisor is the number of correct items that k places can hold, so that a perfect list scores 1 and a positive
    that is missed counts as missed. Dividing by those found, as some libraries do, scores 1 for one hit of ten.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; all below k resolved.
        num_positives: `(num_queries,)` int64, at least 1: R.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Weyand et al., Google Landmarks Dataset v2, arXiv 2004.01804 (mAP@100, with this divisor).

    Example:
        >>> map_at_k(torch.tensor([[0, 2, 3]]), torch.tensor([3]), k=2)  # 1/1 of min(2, 3)
        tensor([0.5000], dtype=torch.float64)
    """
    ranks = ranks[:, :k]  # column j has j others ahead
    return _sum_of_precisions(ranks, ranks < k) / num_positives.clamp(max=k)


def average_precision(ranks: torch.Tensor, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute the average precision of each query over its whole list; its mean is the mAP.

    It is the sum over steps, not the area under trapezia that Oxford's evaluation of landmarks takes.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending, all resolved; `UNRESOLVED` where a positive
            is not in the list at all, which counts as never found.
        num_positives: `(num_queries,)` int64, at least 1: R.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Buckley and Voorhees, Evaluating Evaluation Measure Stability, 2000 (uninterpolated average precision).

    Example:
        >>> average_precision(torch.tensor([[0, 2, 3]]), torch.tensor([3]))  # (1/1 + 2/3 + 3/4) / 3
        tensor([0.8056], dtype=torch.float64)
    """
    return _sum_of_precisions(ranks, ranks < UNRESOLVED) / num_positives


def _sum_of_precisions(ranks: torch.Tensor, is_counted: torch.Tensor) -> torch.Tensor:
    """Add for each query the precisions at its correct items that count, `(num_queries, max_positives)` bool."""
    places = torch.arange(1, ranks.shape[1] + 1, dtype=torch.float64, device=ranks.device)
    precisions = places / (ranks.double() + 1.0)  # (num_queries, max_positives)
    return row_sums(precisions.masked_fill(~is_counted, 0.0))
