"""Metrics of a retrieval model from its embeddings and labels, exactly."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS, MetricChoice
from hf_vitret.evaluation.metrics.query_values import QueryValues, place_values, rank_values, sum_values
from hf_vitret.evaluation.ranking.positive_ranks import positive_ranks
from hf_vitret.evaluation.ranking.tiles import tile_size_within
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
    """Compute R@k, MAP@R, R-precision and others of a retrieval model, exactly, with no matrix of all the scores.

    Recall at k has the metric-learning sense: the share of queries with at least one correct item among the k
    nearest. sentence-transformers calls this accuracy@k, and means another quantity by recall@k.

    Two items tie where their scores are within 2e-6 of each other. Ties are pessimistic unless asked otherwise: a
    wrong item that ties with a right one ranks ahead of it. A model that has collapsed to one point therefore scores
    0, not 1. Expected values are those over random order of what ties: such a model then scores chance.

    The score is the inner product of the rows as given. `ViTRetModel` returns unit-norm rows, and then it is
    the cosine similarity; rows are not normalised here, because a search served by inner product would not do
    it either. Call `torch.nn.functional.normalize` first if yours are raw features.

    Args:
        embeddings: `(num_queries, dim)` float, on CPU or CUDA; bf16 and fp16 are scored in float32.
        labels: `(num_queries,)` integers up to 2**63 - 1, or strings. Never floats.
        gallery_embeddings: `(num_gallery, dim)` float. None: leave-one-out, every item queries all the
            others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out
            of its list: how to evaluate one shard of the queries against the whole set, leave-one-out. Ids may
            repeat: with the burst as id, a query does not find its own burst; with (label, camera), it does not
            find its own object seen by its own camera, but still meets others seen by that camera.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither.
        ks: The cut-offs, each at least 1. One beyond the gallery counts every item.
        metrics: `recall_at_k`, `precision_at_k`, `map_at_k`, each at all cut-offs; `map_at_r`, `r_precision`, `map`
            (mean average precision over the whole list), `mrr` (mean reciprocal rank). What counts hits beyond a
            query's number of positives, as `map` does, takes longer where classes are large.
        ties: `"pessimistic"` or `"expected"`; the latter searches twice.
        memory_budget: Bytes that the scores held at once may take, beside the embeddings in the order of their
            classes (a float32 copy) and 12 bytes for each positive that counts. None: what suits the device, 8 MiB on
            a CPU. The results do not depend on it.

    Returns:
        By default `recall_at_{k}` for each k, `map_at_r` and `r_precision`: means in [0, 1] over the queries that have
        a positive (nan if none has), in the order of `metrics`; `num_queries`: all that were given;
        `num_queries_without_positive`: those of them that were left out of the means.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, a k is below 1, a metric or a rule for ties is
            unknown, or arguments that belong together do not come so.

    Reference:
        Musgrave, Belongie and Lim, A Metric Learning Reality Check, arXiv 2003.08505, section 3.2
        (R-precision and MAP@R). Recall at k: Oh Song et al., arXiv 1511.06452; El-Nouby et al., arXiv
        2102.05644, table 2. None of them says what a tie is worth: see above. Expected values: McSherry and Najork,
        ECIR 2008.

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
    """Compute the metrics of each query: for confidence intervals, and to look at failures.

    Args:
        embeddings: All arguments as for `retrieval_metrics`.
        labels: As there.
        gallery_embeddings: As there.
        gallery_labels: As there.
        query_ids: As there.
        gallery_ids: As there.
        ks: As there.
        metrics: As there.
        ties: As there.
        memory_budget: As there.

    Returns:
        For each metric `(num_queries,)` float64 in the order of the queries, on their device; nan where a query has
        no positive. The means of the others are those of `retrieval_metrics`.

    Raises:
        TypeError: As there.
        ValueError: As there.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> query_metrics(embeddings, [7, 7, 7, 8, 9], ks=[1])["recall_at_1"]
        tensor([1., 1., 0., nan, nan], dtype=torch.float64)
    """
    choice, sets = MetricChoice(metrics, ks, ties), (embeddings, labels, gallery_embeddings, gallery_labels)
    blocks = _values(choice, *sets, query_ids=query_ids, gallery_ids=gallery_ids, memory_budget=memory_budget)
    return place_values(choice.keys, blocks, len(embeddings), embeddings.device)


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
    """Rank once, or for expected values twice, and yield the metrics of the queries."""
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
