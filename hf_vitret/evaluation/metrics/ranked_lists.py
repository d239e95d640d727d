"""The same metrics for the ranked lists of any search engine."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch

from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS, MetricChoice
from hf_vitret.evaluation.metrics.query_values import rank_values, sum_values
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.search.entry_positions import positions_in_rows
from hf_vitret.search.exact_codes import exact_codes

IdLists: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Sequence[Iterable[Hashable]]"

NO_ITEM = -1
"""Fills a list that is shorter, as faiss and `nearest_neighbors` do."""


def ranked_list_metrics(
    ranked_ids: IdLists,
    relevant_ids: IdLists,
    ignored_ids: IdLists | None = None,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> dict[str, float | int]:
    """Compute retrieval metrics of ranked lists, the order of each taken as it stands.

    A relevant item that is not in its list counts as never found: with lists of length L, recall at a k above L is
    that at L, and `map` is the mAP truncated at L. Lists of at least R items give R-precision and MAP@R in full.

    Args:
        ranked_ids: As for `ranks_of_lists`.
        relevant_ids: As there.
        ignored_ids: As there.
        ks: As for `retrieval_metrics`.
        metrics: As there.

    Returns:
        What `retrieval_metrics` returns.

    Raises:
        TypeError: As for `ranks_of_lists`.
        ValueError: As there, and as for `retrieval_metrics`.

    Example:
        >>> ranked_list_metrics([[7, 3, 9], [3, 9, 7]], [[3], [7, 8]], ks=(1, 2), metrics=["recall_at_k", "map"])
        {'recall_at_1': 0.0, 'recall_at_2': 0.5, 'map': 0.3333333333333333, 'num_queries': 2, \
'num_queries_without_positive': 0}
    """
    choice = MetricChoice(metrics, ks)
    ranks, num_positives = ranks_of_lists(ranked_ids, relevant_ids, ignored_ids)
    block = PositiveRanks(torch.arange(len(ranks), device=ranks.device), ranks, num_positives)
    return sum_values(choice.keys, rank_values(choice, [block])).metrics()


def ranks_of_lists(
    ranked_ids: IdLists, relevant_ids: IdLists, ignored_ids: IdLists | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the ranks of each query's relevant items in its list, for the functions of `rank_metrics`.

    Args:
        ranked_ids: `(num_queries, length)` integers, best first, where -1 is no item; or a sequence with one sequence
            of integers or strings a query, which may differ in length.
        relevant_ids: For each query the ids of all its relevant items, found or not; a tensor or array may be filled
            with -1.
        ignored_ids: For each query the ids that are neither right nor wrong (junk, the query itself): they are taken
            out of its list before ranks are counted.

    Returns:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending; `UNRESOLVED` for what is not in the list.
        num_positives: `(num_queries,)` int64, the relevant items of each query.

    Raises:
        TypeError: Ids are floats, or integers on one side and strings on another.
        ValueError: The numbers of queries differ; an id comes twice in a list or among the relevant ones; or it is
            both relevant and ignored.

    Example:
        >>> ranks_of_lists([[7, 3, 9], [3, 9, -1]], [[3, 9], [7]], ignored_ids=[[7], []])[0].tolist()
        [[0, 1], [9223372036854775807, 9223372036854775807]]
    """
    device = ranked_ids.device if isinstance(ranked_ids, torch.Tensor) else torch.device("cpu")
    nothing: list[list[Hashable]] = [[] for _ in range(len(ranked_ids))]
    ranked, relevant, ignored = _entries(
        [ranked_ids, relevant_ids, nothing if ignored_ids is None else ignored_ids], device
    )
    num_queries = ranked.num_queries
    for name, each in (("relevant_ids", relevant), ("ignored_ids", ignored)):
        if each.num_queries != num_queries:
            raise ValueError(
                f"{name} must have one list for each of the {num_queries} queries, got {each.num_queries}."
            )
    ranked.refuse(ranked.repeated(), "ranked_ids must hold an id once in each list")
    relevant.refuse(relevant.repeated(), "relevant_ids must hold an id once for each query")
    relevant.refuse(torch.isin(relevant.keys, ignored.keys), "an id must be relevant or ignored to a query, not both")

    is_kept = ~torch.isin(ranked.keys, ignored.keys)
    queries, keys = ranked.queries[is_kept], ranked.keys[is_kept]
    is_right = torch.isin(keys, relevant.keys)
    num_positives = relevant.queries.bincount(minlength=num_queries)
    width = max(1, int(num_positives.max())) if num_queries else 1
    ranks = torch.full((num_queries, width), UNRESOLVED, device=device)
    right = queries[is_right]
    places = positions_in_rows(queries, queries.bincount(minlength=num_queries))
    ranks[right, positions_in_rows(right, right.bincount(minlength=num_queries))] = places[is_right]
    return ranks, num_positives


@dataclass(frozen=True)
class _Entries:
    """The entries of all lists in one row, without what is no item.

    Attributes:
        ids: The ids as given, in one row.
        places: `(num_entries,)` int64, of each entry in that row.
        queries: `(num_entries,)` int64, ascending.
        keys: `(num_entries,)` int64, equal where both the query and the id are.
        num_queries: Lists.
    """

    ids: Any
    places: torch.Tensor
    queries: torch.Tensor
    keys: torch.Tensor
    num_queries: int

    def repeated(self) -> torch.Tensor:
        """Tell which entries come again for the same query, `(num_entries,)` bool."""
        order = self.keys.argsort(stable=True)
        is_again = torch.zeros_like(order, dtype=torch.bool)
        is_again[order[1:]] = self.keys[order].diff() == 0
        return is_again

    def refuse(self, is_wrong: torch.Tensor, rule: str) -> None:
        """Name the first entry that breaks a rule, `(num_entries,)` bool."""
        if is_wrong.any():
            first = int(is_wrong.nonzero()[0])
            raise ValueError(f"{rule}, got {self.ids[int(self.places[first])]} in query {int(self.queries[first])}.")


def _entries(sides: Sequence[IdLists], device: torch.device) -> list[_Entries]:
    """Read the lists of ids of several sides, so that their keys can be compared."""
    flat, lengths = zip(*(_flattened(lists) for lists in sides), strict=True)
    codes = exact_codes(*flat, name="ids", device=device)
    names, numbers = torch.unique(torch.cat(codes), return_inverse=True)
    entries = []
    for ids, length, code, number in zip(
        flat, lengths, codes, numbers.split([len(code) for code in codes]), strict=True
    ):
        queries = torch.arange(len(length), device=device).repeat_interleave(length.to(device))
        places = (code != NO_ITEM).nonzero()[:, 0]
        entries.append(
            _Entries(ids, places, queries[places], (queries * max(1, len(names)) + number)[places], len(length))
        )
    return entries


def _flattened(lists: IdLists) -> tuple[Any, torch.Tensor]:
    """Return the ids of all lists in one row, and the length of each list, `(num_queries,)` int64."""
    if isinstance(lists, (torch.Tensor, np.ndarray)):
        if lists.ndim != 2:
            raise ValueError(f"ids of all queries must be (num_queries, length), got shape {tuple(lists.shape)}.")
        return lists.reshape(-1), torch.full((lists.shape[0],), lists.shape[1])
    if any(isinstance(row, (str, bytes)) for row in lists):
        raise TypeError("ids must be one list for each query, got one string. Write [[id], ...] for one id a query.")
    rows = [list(row) for row in lists]
    return list(chain.from_iterable(rows)), torch.tensor([len(row) for row in rows], dtype=torch.int64)
