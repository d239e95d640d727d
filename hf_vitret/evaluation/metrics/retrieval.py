"""Retrieval metrics from embeddings and labels: means over the queries, and the values of each query."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS, MetricChoice
from hf_vitret.evaluation.metrics.query_values import QueryValues, rank_values, sum_values, values_by_query
from hf_vitret.evaluation.ranking.positive_ranks import positive_ranks
from hf_vitret.evaluation.ranking.tiles import tile_size_within
from hf_vitret.evaluation.shared_docs import same_arguments
from hf_vitret.search.exact_codes import Identifiers


def retrieval_metrics(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_METRICS,
    ties: str = "pessimistic",
    memory_budget: int | None = None,
) -> dict[str, float | int]:
    """Compute recall@k, MAP@R, R-precision and other retrieval metrics of embeddings, by exact search.

    The items that have the label of a query are its positives; all other items are its negatives. Each query ranks the
    gallery by score, and the metrics are means over the queries. The scores are computed in tiles, so that the matrix
    of all scores is never in memory.

    Recall@k is the share of queries with at least one positive among the k nearest items, as in the metric-learning
    literature. sentence-transformers calls this quantity accuracy@k, and uses recall@k for another one.

    The score of two items is the inner product of their rows as given, which is the cosine similarity if the rows have
    unit norm, as those of `ViTRetModel` have. The rows are not normalised here; call `torch.nn.functional.normalize`
    first if they are raw features.

    Two items tie if their scores differ by at most 2e-6 (times the norms of both rows, if these are not 1). With
    `ties="pessimistic"`, a negative that ties with a positive ranks ahead of it, so that a model that maps every image
    to one point scores 0 and not 1. With `ties="expected"`, a value is its mean over all orders of the items that tie,
    so that such a model scores chance.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries, on CPU or CUDA. bf16 and fp16 are scored
            in float32.
        labels: `(num_queries,)` integers from -2**63 to 2**63 - 1, or strings: the class of each query. A tensor, an
            array or a sequence. Floats are refused, because they merge large integers.
        gallery_embeddings: `(num_gallery, dim)` float, the embeddings of the items to search. `None` evaluates
            leave-one-out: each item is a query, and searches all the others.
        gallery_labels: `(num_gallery,)` integers or strings, of the same kind as `labels`. Required with
            `gallery_embeddings`, refused without it.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item whose id equals that of the query is
            left out of the query's list. With unique ids, a part of the queries can be scored against the whole set,
            leave-one-out. Ids may repeat: with the burst as id, a query does not search its own burst; with (label,
            camera) as id, it does not search images of its own object by its own camera, but still searches images of
            other objects by that camera. `None` leaves no item out.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Required with `query_ids`, and only with a
            gallery.
        ks: The cut-offs k of the metrics at k, each at least 1. A k larger than the gallery counts every item.
        metrics: Names of metrics. `recall_at_k`, `precision_at_k` and `map_at_k` are computed at each cut-off.
            `map_at_r` (MAP@R), `r_precision` (R-precision), `map` (mean average precision over the whole list) and
            `mrr` (mean reciprocal rank) are computed once. R is the number of positives of a query. `map`, and
            `precision_at_k` and `map_at_k` at a k above 1, need ranks beyond R, which take longer to compute if classes
            are large.
        ties: `"pessimistic"` or `"expected"`, the rule for items that tie. `"expected"` searches twice.
        memory_budget: Bytes that the scores held at once may take, at least 512. The embeddings sorted by class (a
            float32 copy) and 12 bytes for each counted positive come on top. `None` takes what suits the device: 8 MiB
            on a CPU, 512 MiB on CUDA. The results do not depend on it.

    Returns:
        The metrics by name, in the order of `metrics`. By default they are `recall_at_{k}` for each k, `map_at_r` and
        `r_precision`. Each is the mean over the queries that have a positive, in [0, 1], or nan if no query has one.
        `num_queries` counts all queries; `num_queries_without_positive` counts those that are left out of the means.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats or of different kinds in queries and gallery.
        ValueError: Shapes do not match, an embedding is NaN or infinite, labels or ids come without their counterpart
            or without a gallery, a k is below 1, a metric or a rule for ties is unknown, or the memory budget is too
            small.

    Reference:
        Musgrave, Belongie and Lim, A Metric Learning Reality Check, arXiv 2003.08505, section 3.2 (R-precision and
        MAP@R). Recall@k: Oh Song et al., arXiv 1511.06452; El-Nouby et al., arXiv 2102.05644, table 2. None of these
        defines the value of a tie. Expected values: McSherry and Najork, ECIR 2008.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> metrics = retrieval_metrics(embeddings, [7, 7, 7, 8, 9], ks=(1, 2))
        >>> {name: round(value, 4) for name, value in metrics.items()}  # doctest: +NORMALIZE_WHITESPACE
        {'recall_at_1': 0.6667, 'recall_at_2': 1.0, 'map_at_r': 0.75, 'r_precision': 0.8333,
         'num_queries': 5, 'num_queries_without_positive': 2}
        >>> retrieval_metrics(embeddings, [7, 7, 7, 8, 9], metrics=["mrr"])["mrr"]  # (1 + 1 + 1/2) / 3
        0.8333333333333334
    """
    choice, sets = MetricChoice(metrics, ks, ties), (embeddings, labels, gallery_embeddings, gallery_labels)
    blocks = _values(choice, *sets, query_ids=query_ids, gallery_ids=gallery_ids, memory_budget=memory_budget)
    return sum_values(choice.keys, blocks).metrics()


@same_arguments(retrieval_metrics)
def query_metrics(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_METRICS,
    ties: str = "pessimistic",
    memory_budget: int | None = None,
) -> dict[str, torch.Tensor]:
    """Compute the retrieval metrics of each query, for confidence intervals and for a look at failures.

    The values are those whose means `retrieval_metrics` returns. The items that have the label of a query are its
    positives; all other items are its negatives. The score of two items is the inner product of their rows as given.

    Two items tie if their scores differ by at most 2e-6 (times the norms of both rows, if these are not 1). With
    `ties="pessimistic"`, a negative that ties with a positive ranks ahead of it. With `ties="expected"`, a value is its
    mean over all orders of the items that tie.

    Returns:
        For each metric, by its name (`recall_at_{k}` for each k, `map_at_r`, ...), a `(num_queries,)` float64 tensor in
        [0, 1], in the order of the queries and on their device; nan for a query without a positive.

    Reference:
        Musgrave, Belongie and Lim, A Metric Learning Reality Check, arXiv 2003.08505, section 3.2 (R-precision and
        MAP@R). Recall@k: Oh Song et al., arXiv 1511.06452. Expected values: McSherry and Najork, ECIR 2008.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> query_metrics(embeddings, [7, 7, 7, 8, 9], ks=[1])["recall_at_1"]
        tensor([1., 1., 0., nan, nan], dtype=torch.float64)
    """
    choice, sets = MetricChoice(metrics, ks, ties), (embeddings, labels, gallery_embeddings, gallery_labels)
    blocks = _values(choice, *sets, query_ids=query_ids, gallery_ids=gallery_ids, memory_budget=memory_budget)
    return values_by_query(choice.keys, blocks, len(embeddings), embeddings.device)


def _values(
    choice: MetricChoice,
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None,
    gallery_labels: Identifiers | None,
    *,
    query_ids: Identifiers | None,
    gallery_ids: Identifiers | None,
    memory_budget: int | None,
) -> Iterator[QueryValues]:
    """Yield the metrics of the queries, from one ranking, or from two for expected values."""
    rank = functools.partial(
        positive_ranks,
        *(embeddings, labels, gallery_embeddings, gallery_labels),
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        tile_size=tile_size_within(memory_budget),
    )
    worst = rank(**choice.wanted_ranks)
    if not choice.is_expected:
        return rank_values(choice, worst)
    return rank_values(choice, worst, rank(every_rank=True, ties="optimistic"))
