"""Retrieval metrics as pure functions of the ranks of the right items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from hf_vitret.evaluation.metric_sums import MetricSums, fixed_point_sum, row_sums
from hf_vitret.evaluation.positive_ranks import PositiveRanks, positive_ranks
from hf_vitret.search.exact_codes import Identifiers


def retrieval_metrics(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    ks: Sequence[int] = (1, 10, 100, 1000),
) -> dict[str, float | int]:
    """Compute R@k, MAP@R and R-precision of a retrieval model, exactly, with no matrix of all the scores.

    Recall at k has the metric-learning sense: the share of queries with at least one correct item among the k
    nearest. sentence-transformers calls this accuracy@k, and means another quantity by recall@k.

    Ties are pessimistic: a wrong item whose score equals a right one's within 2e-6 ranks ahead of it. A model
    that has collapsed to one point therefore scores 0, not 1.

    The score is the inner product of the rows as given. `ViTRetModel` returns unit-norm rows, and then it is
    the cosine similarity; rows are not normalised here, because a search served by inner product would not do
    it either. Call `torch.nn.functional.normalize` first if yours are raw features.

    Args:
        embeddings: `(num_queries, dim)` float, on CPU or CUDA; bf16 and fp16 are scored in float32.
        labels: `(num_queries,)` integers up to 2**63 - 1, or strings. Never floats.
        gallery_embeddings: `(num_gallery, dim)` float. None: leave-one-out, every item queries all the
            others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)` integers or strings. A gallery item with the id of the query is left out
            of its list: how to evaluate one shard of the queries against the whole set, leave-one-out.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither.
        ks: The cut-offs of recall, each at least 1. One beyond the gallery counts every item.

    Returns:
        `recall_at_{k}` for each k, `map_at_r` and `r_precision`: means in [0, 1] over the queries that have a
        positive (nan if none has); `num_queries`: all that were given; `num_queries_without_positive`: those
        of them that were left out of the means.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, a k is below 1, or arguments that belong
            together do not come so.

    Reference:
        Musgrave, Belongie and Lim, A Metric Learning Reality Check, arXiv 2003.08505, section 3.2
        (R-precision and MAP@R). Recall at k: Oh Song et al., arXiv 1511.06452; El-Nouby et al., arXiv
        2102.05644, table 2. None of them says what a tie is worth: see above.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> metrics = retrieval_metrics(embeddings, [7, 7, 7, 8, 9], ks=(1, 2))
        >>> {name: round(value, 4) for name, value in metrics.items()}  # doctest: +NORMALIZE_WHITESPACE
        {'recall_at_1': 0.6667, 'recall_at_2': 1.0, 'map_at_r': 0.75, 'r_precision': 0.8333,
         'num_queries': 5, 'num_queries_without_positive': 2}
    """
    ks = check_ks(ks)
    blocks = positive_ranks(
        embeddings,
        labels,
        gallery_embeddings,
        gallery_labels,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
    )
    return sum_metrics(blocks, ks).metrics()


def sum_metrics(blocks: Iterable[PositiveRanks], ks: Sequence[int]) -> MetricSums:
    """Sum the metrics of all queries, exactly: in whatever blocks they come, and added to those of other queries.

    Args:
        blocks: Ranks of the positives, as `positive_ranks` yields them; may be none.
        ks: The cut-offs of recall, each at least 1.

    Returns:
        The sums.

    Raises:
        ValueError: A cut-off is not an integer of at least 1.
    """
    ks = check_ks(ks)
    sums = MetricSums(ks, 0, 0, (0,) * len(ks), 0, 0)
    for block in blocks:
        has_positive = block.num_positives > 0
        ranks, num_positives = block.ranks[has_positive], block.num_positives[has_positive]
        sums += MetricSums(
            ks,
            len(block.queries),
            len(ranks),
            tuple(int(recall_at_k(ranks, k).sum()) for k in ks),
            fixed_point_sum(map_at_r(ranks, num_positives)),
            fixed_point_sum(r_precision(ranks, num_positives)),
        )
    return sums


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Return the cut-offs sorted, each once.

    Raises:
        ValueError: A cut-off is not an integer of at least 1.
    """
    if any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in ks):
        raise ValueError(f"ks must be integers of at least 1, got {tuple(ks)}. The nearest neighbour alone is k=1.")
    return tuple(sorted(set(ks)))


def recall_at_k(ranks: torch.Tensor, k: int) -> torch.Tensor:
    """Tell for each query whether its best positive is among the first k items.

    Args:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending along a row.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64, 0 or 1.

    Example:
        >>> recall_at_k(torch.tensor([[0, 3], [2, 3]]), k=2)
        tensor([1., 0.], dtype=torch.float64)
    """
    return (ranks[:, 0] < k).double()


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
    places = torch.arange(1, ranks.shape[1] + 1, dtype=torch.float64, device=ranks.device)
    precisions = places / (ranks.double() + 1.0)  # (num_queries, max_positives)
    is_counted = ranks < num_positives.unsqueeze(1)
    return row_sums(precisions.masked_fill(~is_counted, 0.0)) / num_positives
