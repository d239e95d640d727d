"""Retrieval metrics of each query, from the ranks of its positives."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED


def recall_at_k(ranks: torch.Tensor, k: int) -> torch.Tensor:
    """Return 1 for each query whose best positive is among the first k items, and 0 for the others.

    This is recall@k as in the metric-learning literature. Elsewhere it is called accuracy@k, hit rate or success@k.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row.
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
    """Compute for each query the share of positives among its first k items.

    The divisor is k, even if the query has fewer positives or the gallery has fewer items; the value 1 is then out of
    reach.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row; all ranks
            below k must be resolved.
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
    """Compute R-precision of each query: the share of positives among its first R items, for its R positives.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row; ranks of at
            least R fill the rest of a row.
        num_positives: `(num_queries,)` int64, R, at least 1.

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
    """Compute for each query 1 divided by the 1-based rank of its best positive; the mean over queries is the MRR.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row; `UNRESOLVED`
            if no positive was found.

    Returns:
        `(num_queries,)` float64 in [0, 1], 0 if no positive was found.

    Reference:
        Voorhees, The TREC-8 Question Answering Track Report, 1999.

    Example:
        >>> reciprocal_rank(torch.tensor([[0, 3], [3, 7]]))
        tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    best = ranks[:, 0]
    return (1.0 / (best.double() + 1.0)).masked_fill(best == UNRESOLVED, 0.0)


def map_at_r(ranks: torch.Tensor, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute MAP@R of each query: the sum of P(i) over the positives at 1-based ranks i <= R, divided by R.

    P(i) is the precision of the first i items, and R is the number of positives. The positive with j others ahead of
    it, at 0-based rank r, has precision (j + 1) / (r + 1).

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row; ranks of at
            least R fill the rest of a row.
        num_positives: `(num_queries,)` int64, R, at least 1.

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
    """Compute mAP@k of each query: the sum of P(i) over the positives at 1-based ranks i <= k, divided by min(k, R).

    P(i) is the precision of the first i items, and R is the number of positives. The divisor is the largest number of
    positives that the first k items can contain, so that a perfect list scores 1 and a missed positive lowers the
    value. Some libraries divide by the number of positives found, which gives one hit out of ten a value of 1.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row; all ranks
            below k must be resolved.
        num_positives: `(num_queries,)` int64, R, at least 1.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Reference:
        Weyand et al., Google Landmarks Dataset v2, arXiv 2004.01804 (mAP@100, with this divisor).

    Example:
        >>> map_at_k(torch.tensor([[0, 2, 3]]), torch.tensor([3]), k=2)  # 1/1 of min(2, 3)
        tensor([0.5000], dtype=torch.float64)
    """
    ranks = ranks[:, :k]  # the positive in column j has j others ahead of it
    return _sum_of_precisions(ranks, ranks < k) / num_positives.clamp(max=k)


def average_precision(ranks: torch.Tensor, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute the average precision of each query over its whole list; the mean over queries is the mAP.

    It is a sum over the positives (uninterpolated), not the area of trapezoids that the Oxford landmark benchmark
    measures.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based ranks of the positives, ascending along a row, all
            resolved. `UNRESOLVED` stands for a positive that is not in the list; it adds nothing to the sum.
        num_positives: `(num_queries,)` int64, R, at least 1.

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
    """Sum for each query the precisions at the positives where `is_counted`, `(num_queries, max_positives)` bool."""
    num_hits = torch.arange(1, ranks.shape[1] + 1, dtype=torch.float64, device=ranks.device)
    precisions = num_hits / (ranks.double() + 1.0)  # (num_queries, max_positives)
    return row_sums(precisions.masked_fill(~is_counted, 0.0))
