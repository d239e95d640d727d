"""Metrics of a search of binary codes whose shortlist is re-ranked by the float query."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...compression.hamming import hamming_neighbors, rescore
from ...compression.quantization import pack_signs
from ..metrics.metric_choice import MetricChoice
from ..metrics.metric_sums import MetricSums
from ..metrics.query_values import rank_values, sum_values
from ..ranking.ranked_block import PositiveRanks
from ..ranking.wanted_ranks import TIE_TOLERANCE, UNRESOLVED

# Number of queries whose shortlists are held at once: with 100 candidates each they take 5 MB.
_QUERIES = 4_096


@torch.no_grad()
def rescored_metrics(
    queries: Mapping[str, torch.Tensor],
    gallery_codes: torch.Tensor,
    query_labels: torch.Tensor,
    gallery_labels: torch.Tensor,
    ids: tuple[torch.Tensor, torch.Tensor] | None,
    shortlist: int,
    choice: MetricChoice,
) -> dict[str, MetricSums]:
    """Score a search of binary codes whose first candidates are re-ranked by the float query.

    A positive outside the shortlist counts as not found. So does one whose Hamming distance equals that of the first
    item left out, because the choice between them is arbitrary.

    Args:
        queries: Float vectors by name, `(num_queries, dim)` each, all with the same signs, so that they share one
            shortlist.
        gallery_codes: `(num_gallery, ceil(dim / 8))` uint8 from `pack_signs`.
        query_labels: `(num_queries,)` int64.
        gallery_labels: `(num_gallery,)` int64.
        ids: `(num_queries,)` and `(num_gallery,)` int64. A gallery item with the id of the query is left out. `None`
            leaves none out.
        shortlist: Number of candidates for each query, at least 1.
        choice: The metrics to compute.

    Returns:
        The sums of the metrics for each name.
    """
    num_positives = count_positives(query_labels, gallery_labels, ids)
    first = next(iter(queries.values()))
    num_queries, dim = first.shape
    sums = {name: sum_values(choice.keys, []) for name in queries}
    for start in range(0, num_queries, _QUERIES):
        rows = slice(start, start + _QUERIES)
        hamming, indices = hamming_neighbors(
            pack_signs(first[rows]),
            gallery_codes,
            dim,
            shortlist + 1,
            query_ids=ids and ids[0][rows],
            gallery_ids=ids and ids[1],
        )
        is_cut = hamming[:, :-1] == hamming[:, -1:]
        is_right = gallery_labels[indices[:, :-1].clamp(min=0)] == query_labels[rows, None]
        candidates = indices[:, :-1].masked_fill(is_right & is_cut, -1)  # (rows, shortlist)
        for name, vectors in queries.items():
            scores = rescore(vectors[rows], gallery_codes, candidates)
            numbers = torch.arange(start, start + len(scores), device=scores.device)
            block = shortlist_ranks(numbers, scores, is_right, num_positives[rows])
            sums[name] += sum_values(choice.keys, rank_values(choice, [block]))
    return sums


def shortlist_ranks(
    queries: torch.Tensor, scores: torch.Tensor, is_right: torch.Tensor, num_positives: torch.Tensor
) -> PositiveRanks:
    """Rank the positives of a shortlist; positives outside it are not found.

    The rank of a positive is the number of positives ahead of it, plus the number of negatives that score at least as
    high, within `TIE_TOLERANCE`. So ties are pessimistic, as in `positive_ranks`.

    Args:
        queries: `(num_queries,)` int64, the rows of the queries.
        scores: `(num_queries, k)` float32, the scores of the candidates in any order; -inf for no candidate.
        is_right: `(num_queries, k)` bool, whether a candidate is a positive.
        num_positives: `(num_queries,)` int64, the number of positives in the whole gallery.

    Returns:
        The ranks, `UNRESOLVED` for the positives that are not in the list.

    Example:
        >>> scores = torch.tensor([[0.9, 0.5, 0.7, 0.5]])
        >>> is_right = torch.tensor([[False, True, True, False]])
        >>> shortlist_ranks(torch.tensor([0]), scores, is_right, torch.tensor([3])).ranks[:, :2]
        tensor([[1, 3]])
    """
    is_right = is_right & (scores > -torch.inf)
    width = max(1, int(is_right.sum(dim=1).max()))
    right = scores.masked_fill(~is_right, -torch.inf).sort(dim=1, descending=True).values[:, :width].contiguous()
    wrong = scores.masked_fill(is_right, -torch.inf).sort(dim=1).values
    above = scores.shape[1] - torch.searchsorted(wrong, right - TIE_TOLERANCE)
    ranks = above + torch.arange(width, device=scores.device)
    return PositiveRanks(queries, ranks.masked_fill(right == -torch.inf, UNRESOLVED), num_positives)


def count_positives(
    query_labels: torch.Tensor, gallery_labels: torch.Tensor, ids: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    """Count for each query the gallery items with its label, without those with its id.

    Args:
        query_labels: `(num_queries,)` int64.
        gallery_labels: `(num_gallery,)` int64.
        ids: `(num_queries,)` and `(num_gallery,)` int64, or `None`.

    Returns:
        `(num_queries,)` int64.

    Example:
        >>> labels = torch.tensor([4, 4, 4, 9])
        >>> count_positives(labels, labels, (torch.arange(4), torch.arange(4)))
        tensor([2, 2, 2, 0])
    """
    labels = torch.unique(torch.cat([query_labels, gallery_labels]), return_inverse=True)[1]
    counts = _num_matches(labels, len(query_labels))
    if ids is None:
        return counts
    items = torch.unique(torch.cat(ids), return_inverse=True)[1]
    both = torch.unique(labels * len(items) + items, return_inverse=True)[1]
    return counts - _num_matches(both, len(query_labels))


def _num_matches(codes: torch.Tensor, num_queries: int) -> torch.Tensor:
    """Count for each of the first `num_queries` codes the equal codes among the rest, `(num_queries,)` int64."""
    return codes[num_queries:].bincount(minlength=len(codes))[codes[:num_queries]]
