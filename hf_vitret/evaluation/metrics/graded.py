"""Retrieval metrics for graded relevance, for images with several labels, and for pairs of images that do not count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.metrics.metric_choice import (
    DEFAULT_KS,
    DEFAULT_METRICS,
    METRICS,
    MetricChoice,
    check_metrics,
    expand,
)
from hf_vitret.evaluation.metrics.ndcg import expected_ndcg_at_k, ndcg_at_k
from hf_vitret.evaluation.metrics.query_values import QueryValues, sum_values, values_by_query
from hf_vitret.evaluation.metrics.relevance import Pairs, Relevance, checked_pairs
from hf_vitret.evaluation.metrics.scored_queries import ScoredQueries
from hf_vitret.evaluation.ranking.exact_scores import ExactScores, row_norms
from hf_vitret.evaluation.ranking.search_codes import absent_ids
from hf_vitret.evaluation.ranking.wanted_ranks import TIE_TOLERANCE
from hf_vitret.evaluation.shared_docs import same_arguments
from hf_vitret.search.exact_codes import Identifiers
from hf_vitret.search.inner_products import check_embeddings, check_same_dim

_NDCG = "ndcg_at_k"
GRADED_METRICS = (*METRICS, _NDCG)
DEFAULT_GRADED_METRICS = (*DEFAULT_METRICS, _NDCG)

# Number of scores held at once, and the bytes that a score takes with all that is stored beside it: 2M scores took 110
# MB where few items are positives, 560 MB where most are.
_MAX_SCORES, _BYTES_OF_SCORE = 2_000_000, 280
_MAX_QUERIES = 1_024


def graded_metrics(
    embeddings: torch.Tensor,
    relevance: Relevance,
    gallery_embeddings: torch.Tensor | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    ignored: Pairs | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_GRADED_METRICS,
    ties: str = "pessimistic",
    memory_budget: int | None = None,
) -> dict[str, float | int]:
    """Compute retrieval metrics and nDCG@k for graded relevance, by exact search, a block of queries at a time.

    A gallery item is a positive of a query if its grade is above 0, and a negative otherwise. Only `ndcg_at_k` uses the
    grades; all other metrics use positives and negatives. If each image has one label, the values are those of
    `retrieval_metrics`, which is many times faster.

    The score of two items is the inner product of their rows as given. Two items tie if their scores differ by at most
    2e-6 (times the norms of both rows, if these are not 1). With `ties="pessimistic"`, an item that ties with one of a
    higher grade ranks ahead of it. With `ties="expected"`, a value is its mean over all orders of the items that tie.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries, on CPU or CUDA. bf16 and fp16 are scored
            in float32.
        relevance: The grade of each gallery item for each query: `SharedLabels` for images with several labels,
            `GradedPairs` for grades given by pair, or any object with their attributes `num_queries` and `num_gallery`
            and their method `rows`.
        gallery_embeddings: `(num_gallery, dim)` float, the embeddings of the items to search. `None` evaluates
            leave-one-out: each item is a query, and searches all the others.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item whose id equals that of the query is
            left out of the query's list. Ids may repeat: with the burst as id, a query does not search its own burst.
            `None` leaves no item out.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Required with `query_ids`, and only with a
            gallery.
        ignored: `(num_pairs, 2)` integers: the row of a query and the row of a gallery item that is left out of this
            query's list, because it is neither right nor wrong (junk). `None` ignores no pair.
        ks: The cut-offs k of the metrics at k, each at least 1. A k larger than the gallery counts every item.
        metrics: Names of metrics. `recall_at_k`, `precision_at_k`, `map_at_k` and `ndcg_at_k` (normalised discounted
            cumulative gain) are computed at each cut-off. `map_at_r` (MAP@R), `r_precision` (R-precision), `map` (mean
            average precision over the whole list) and `mrr` (mean reciprocal rank) are computed once. R is the number
            of positives of a query.
        ties: `"pessimistic"` or `"expected"`, the rule for items that tie.
        memory_budget: Bytes that the scores and the relevance held at once may take, at least 1. One query with the
            whole gallery is held in any case. `None` takes at most 560 MB.

    Returns:
        The metrics by name, in the order of `metrics`. By default they are `recall_at_{k}` for each k, `map_at_r`,
        `r_precision` and `ndcg_at_{k}` for each k. Each is the mean over the queries that have a positive, in [0, 1],
        or nan if no query has one. `num_queries` counts all queries; `num_queries_without_positive` counts those that
        are left out of the means.

    Raises:
        TypeError: Embeddings are not floats, ids are floats or of different kinds in queries and gallery, or the
            ignored pairs are not integers.
        ValueError: Shapes do not match, an embedding is NaN or infinite, ids come without their counterpart or without
            a gallery, an ignored pair is out of range, a k is below 1, a metric or a rule for ties is unknown, or the
            memory budget is below 1.

    Reference:
        nDCG: Järvelin and Kekäläinen, Cumulated Gain-based Evaluation of IR Techniques, 2002. Expected values: McSherry
        and Najork, ECIR 2008.

    Example:
        >>> from hf_vitret.evaluation.metrics.relevance import SharedLabels
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0]])
        >>> relevance = SharedLabels([["cup", "red"], ["mug"], ["cup"], ["cup", "red"]])
        >>> metrics = graded_metrics(embeddings, relevance, ks=[2], metrics=["recall_at_k", "ndcg_at_k"])
        >>> {name: round(value, 4) for name, value in metrics.items()}  # doctest: +NORMALIZE_WHITESPACE
        {'recall_at_2': 1.0, 'ndcg_at_2': 0.3356, 'num_queries': 4, 'num_queries_without_positive': 1}
    """
    ids, size = (query_ids, gallery_ids), _max_scores(memory_budget)
    blocks, keys = _values(embeddings, relevance, gallery_embeddings, ids, ignored, ks, metrics, ties, size)
    return sum_values(keys, blocks).metrics()


@same_arguments(graded_metrics)
def graded_query_metrics(
    embeddings: torch.Tensor,
    relevance: Relevance,
    gallery_embeddings: torch.Tensor | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    ignored: Pairs | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_GRADED_METRICS,
    ties: str = "pessimistic",
    memory_budget: int | None = None,
) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query for graded relevance: the values whose means `graded_metrics` returns.

    Returns:
        For each metric, by its name, a `(num_queries,)` float64 tensor in [0, 1], in the order of the queries and on
        their device; nan for a query without a positive.
    """
    ids, size = (query_ids, gallery_ids), _max_scores(memory_budget)
    blocks, keys = _values(embeddings, relevance, gallery_embeddings, ids, ignored, ks, metrics, ties, size)
    return values_by_query(keys, blocks, len(embeddings), embeddings.device)


def _max_scores(memory_budget: int | None) -> int:
    if memory_budget is not None and memory_budget < 1:
        raise ValueError(
            f"memory_budget must be at least 1 byte, got {memory_budget}. None takes at most 560 MB of memory."
        )
    return _MAX_SCORES if memory_budget is None else memory_budget // _BYTES_OF_SCORE


def _values(
    embeddings: torch.Tensor,
    relevance: Relevance,
    gallery_embeddings: torch.Tensor | None,
    ids: tuple[Identifiers | None, Identifiers | None],
    ignored: Pairs | None,
    ks: Sequence[int],
    metrics: Sequence[str],
    ties: str,
    max_scores: int,
) -> tuple[Iterator[QueryValues], list[str]]:
    """Check the arguments; return the metrics of the queries, block by block, and the names of the values."""
    names = check_metrics(metrics, GRADED_METRICS)
    choice = MetricChoice([name for name in names if name != _NDCG] or DEFAULT_METRICS, ks, ties)  # one at least
    gallery = embeddings if gallery_embeddings is None else gallery_embeddings
    check_embeddings(embeddings, "embeddings")
    check_embeddings(gallery, "gallery_embeddings")
    check_same_dim(embeddings, gallery)
    sizes = len(embeddings), len(gallery)
    if (relevance.num_queries, relevance.num_gallery) != sizes:
        raise ValueError(
            f"relevance must be of the {sizes[0]} queries and the {sizes[1]} gallery embeddings, got "
            f"{relevance.num_queries} and {relevance.num_gallery}. Build it for the same images as the embeddings."
        )
    codes = absent_ids(embeddings, gallery_embeddings, *ids)
    pairs = checked_pairs([] if ignored is None else ignored, *sizes, "ignored")
    keys = [key for name in names for key in expand(name, choice.ks)]
    return _blocks(embeddings.float(), gallery.float(), relevance, codes, pairs, choice, keys, max_scores), keys


@torch.no_grad()
def _blocks(
    embeddings: torch.Tensor,
    gallery: torch.Tensor,
    relevance: Relevance,
    ids: tuple[torch.Tensor, torch.Tensor] | None,
    ignored: torch.Tensor,
    choice: MetricChoice,
    keys: Sequence[str],
    max_scores: int,
) -> Iterator[QueryValues]:
    """Yield the metrics of the queries, a block at a time, from their scores with the whole gallery."""
    exact, device = ExactScores(embeddings, gallery), embeddings.device
    norms, gallery_norms = row_norms(embeddings), row_norms(gallery)
    ignored = ignored[ignored[:, 0].argsort(stable=True)].to(device)
    size = min(_MAX_QUERIES, max(1, max_scores // len(gallery)))
    for start in range(0, len(embeddings), size):
        stop = min(start + size, len(embeddings))
        is_absent = torch.zeros(stop - start, len(gallery), dtype=torch.bool, device=device)
        if ids is not None:
            is_absent = ids[0][start:stop, None] == ids[1]
        bounds = torch.tensor([start, stop], device=device)
        first, last = torch.searchsorted(ignored[:, 0].contiguous(), bounds).tolist()
        is_absent[ignored[first:last, 0] - start, ignored[first:last, 1]] = True
        scored = ScoredQueries(
            exact.of_rows(slice(start, stop)),
            gallery_norms * (TIE_TOLERANCE * norms[start:stop, None]),
            relevance.rows(start, stop).to(device),
            is_absent,
        )
        has_positive = scored.num_positives > 0
        queries = torch.arange(start, stop, device=device)[has_positive]
        yield QueryValues(stop - start, queries, _values_of(scored, has_positive, choice, keys))


def _values_of(
    scored: ScoredQueries, has_positive: torch.Tensor, choice: MetricChoice, keys: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Compute the metrics of the queries of a block that have a positive."""
    best = scored.ranks(is_optimistic=True)[has_positive] if choice.is_expected else None
    values = choice.values(scored.num_positives[has_positive], scored.ranks()[has_positive], best)
    gains = scored.grades[has_positive]
    positions: list[torch.Tensor] = []
    for key, k in zip(expand(_NDCG, choice.ks), choice.ks, strict=True):
        if key not in keys:
            continue
        if choice.is_expected:
            positions = positions or [each[has_positive] for each in scored.num_ahead_and_tied()]
            values[key] = expected_ndcg_at_k(positions[0], positions[1], gains, k)
        else:
            positions = positions or [scored.graded_ranks()[has_positive]]
            values[key] = ndcg_at_k(positions[0], gains, k)
    return values
