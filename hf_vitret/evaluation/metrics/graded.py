"""Retrieval metrics where relevance has grades, images have several labels, or pairs of images do not count."""

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
from hf_vitret.evaluation.metrics.query_values import QueryValues, place_values, sum_values
from hf_vitret.evaluation.metrics.relevance import Pairs, Relevance, checked_pairs
from hf_vitret.evaluation.metrics.scored_queries import ScoredQueries
from hf_vitret.evaluation.ranking.exact_scores import ExactScores, row_norms
from hf_vitret.evaluation.ranking.search_codes import absent_ids
from hf_vitret.evaluation.ranking.wanted_ranks import TIE_TOLERANCE
from hf_vitret.search.exact_codes import Identifiers
from hf_vitret.search.inner_products import check_embeddings, check_same_dim

_NDCG = "ndcg_at_k"
GRADED_METRICS = (*METRICS, _NDCG)
DEFAULT_GRADED_METRICS = (*DEFAULT_METRICS, _NDCG)

# Scores held at once, with what belongs to each: 2M took 110 MB where few items are right, 560 MB where most are.
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
    """Compute retrieval metrics by any relevance, exactly, a block of queries at a time.

    The metrics without grades take every item of a grade above 0 for right. Where each image has one label, they are
    those of `retrieval_metrics`, which is many times faster.

    Two items tie where their scores are within 2e-6 of each other. Pessimistic: a less relevant item that ties with a
    more relevant one ranks ahead of it. Expected: what ties comes in random order.

    Args:
        embeddings: `(num_queries, dim)` float, on CPU or CUDA. Scores are inner products of the rows as given.
        relevance: `SharedLabels` (several labels an image), `GradedPairs`, or any object with their attributes.
        gallery_embeddings: `(num_gallery, dim)` float. None: leave-one-out, every item queries all the others.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out
            of its list; ids may repeat. See `retrieval_metrics`.
        gallery_ids: `(num_gallery,)`, of the same kind. Both or neither, and only with a gallery.
        ignored: `(num_pairs, 2)` integers, row of the query and row of the gallery item that is neither right nor
            wrong to it (junk): it is left out of the list.
        ks: As for `retrieval_metrics`.
        metrics: As for `retrieval_metrics`, and `ndcg_at_k`.
        ties: `"pessimistic"` or `"expected"`.
        memory_budget: Bytes that what is held at once of scores and relevance may take; one query with the whole
            gallery at least. None: at most 560 MB.

    Returns:
        As `retrieval_metrics`, with `ndcg_at_{k}`.

    Raises:
        TypeError: Embeddings or ids are of the wrong kind.
        ValueError: Shapes do not match, an embedding is not finite, a pair is out of range, a k is below 1, or a
            metric or a rule for ties is unknown.

    Reference:
        nDCG: Järvelin and Kekäläinen, 2002. Expected values: McSherry and Najork, ECIR 2008.

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
    """Compute the metrics of each query by any relevance; arguments and errors are those of `graded_metrics`.

    Returns:
        For each metric `(num_queries,)` float64 in the order of the queries; nan where a query has no positive.
    """
    ids, size = (query_ids, gallery_ids), _max_scores(memory_budget)
    blocks, keys = _values(embeddings, relevance, gallery_embeddings, ids, ignored, ks, metrics, ties, size)
    return place_values(keys, blocks, len(embeddings), embeddings.device)


def _max_scores(memory_budget: int | None) -> int:
    if memory_budget is not None and memory_budget < 1:
        raise ValueError(f"memory_budget must be at least 1 byte, got {memory_budget}.")
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
            f"{relevance.num_queries} and {relevance.num_gallery}."
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
    """Score the queries with the whole gallery, a block at a time."""
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
    """Return the metrics of the queries of a block that have a positive."""
    best = scored.ranks(is_optimistic=True)[has_positive] if choice.is_expected else None
    values = choice.values(scored.num_positives[has_positive], scored.ranks()[has_positive], best)
    gains = scored.grades[has_positive]
    places: list[torch.Tensor] = []
    for key, k in zip(expand(_NDCG, choice.ks), choice.ks, strict=True):
        if key not in keys:
            continue
        if choice.is_expected:
            places = places or [each[has_positive] for each in scored.tied_places()]
            values[key] = expected_ndcg_at_k(places[0], places[1], gains, k)
        else:
            places = places or [scored.graded_ranks()[has_positive]]
            values[key] = ndcg_at_k(places[0], gains, k)
    return values
