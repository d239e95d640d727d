"""Retrieval metrics of ranked lists of ids, from any search engine."""

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
"""The id that fills the end of a shorter list, as in faiss and `nearest_neighbors`."""


def ranked_list_metrics(
    ranked_ids: IdLists,
    relevant_ids: IdLists,
    ignored_ids: IdLists | None = None,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> dict[str, float | int]:
    """Compute retrieval metrics of ranked lists of ids, whose order is taken as given.

    A relevant item that is not in its list counts as not found. With lists of length L, recall at a k above L equals
    recall at L, and `map` is the mAP truncated at L. R-precision and MAP@R are complete if the lists have at least R
    items, where R is the number of relevant items of a query.

    Args:
        ranked_ids: The ranked list of each query, best item first: a `(num_queries, length)` tensor or array of
            integers, in which -1 stands for no item, or a sequence with one sequence of integers or strings for each
            query. The sequences may have different lengths.
        relevant_ids: The ids of all relevant items of each query, whether its list has them or not, in one of the same
            forms and in any order; -1 fills the rows of a tensor or array.
        ignored_ids: The ids that are neither right nor wrong for each query (junk, or the query itself), in one of the
            same forms. They are removed from the list of the query before the ranks are counted. `None` ignores no id.
        ks: The cut-offs k of the metrics at k, each at least 1.
        metrics: Names of metrics. `recall_at_k` (the share of queries with a relevant item among the first k),
            `precision_at_k` and `map_at_k` are computed at each cut-off. `map_at_r` (MAP@R), `r_precision`
            (R-precision), `map` (mean average precision over the whole list) and `mrr` (mean reciprocal rank) are
            computed once.

    Returns:
        The metrics by name, in the order of `metrics`. By default they are `recall_at_{k}` for each k, `map_at_r` and
        `r_precision`. Each is the mean over the queries that have a relevant item, in [0, 1], or nan if no query has
        one. `num_queries` counts all queries; `num_queries_without_positive` counts those that are left out of the
        means.

    Raises:
        TypeError: Ids are floats, integers in one argument and strings in another, or one string in place of a list.
        ValueError: The numbers of queries differ, an id occurs twice in a list or among the relevant ids of a query, an
            id is both relevant and ignored, a tensor is not two-dimensional, a k is below 1, or a metric is unknown.

    Reference:
        Musgrave, Belongie and Lim, A Metric Learning Reality Check, arXiv 2003.08505, section 3.2 (R-precision and
        MAP@R). Recall@k: Oh Song et al., arXiv 1511.06452.

    Example:
        >>> ranked, relevant = [[7, 3, 9], [3, 9, 7]], [[3], [7, 8]]
        >>> metrics = ranked_list_metrics(ranked, relevant, ks=(1, 2), metrics=["recall_at_k", "map"])
        >>> {name: round(value, 4) for name, value in metrics.items()}  # doctest: +NORMALIZE_WHITESPACE
        {'recall_at_1': 0.0, 'recall_at_2': 0.5, 'map': 0.3333, 'num_queries': 2, 'num_queries_without_positive': 0}
    """
    choice = MetricChoice(metrics, ks)
    ranks, num_positives = ranks_of_lists(ranked_ids, relevant_ids, ignored_ids)
    block = PositiveRanks(torch.arange(len(ranks), device=ranks.device), ranks, num_positives)
    return sum_values(choice.keys, rank_values(choice, [block])).metrics()


def ranks_of_lists(
    ranked_ids: IdLists, relevant_ids: IdLists, ignored_ids: IdLists | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the ranks of the relevant items of each query in its list, for the functions of `rank_metrics`.

    Args:
        ranked_ids: The ranked list of each query, best item first: a `(num_queries, length)` tensor or array of
            integers, in which -1 stands for no item, or a sequence with one sequence of integers or strings for each
            query. The sequences may have different lengths.
        relevant_ids: The ids of all relevant items of each query, whether its list has them or not, in one of the same
            forms.
        ignored_ids: The ids that are removed from the list of each query before the ranks are counted, in one of the
            same forms. `None` ignores no id.

    Returns:
        ranks: `(num_queries, max_positives)` int64, 0-based, ascending along a row; `UNRESOLVED` stands for an item
            that is not in the list.
        num_positives: `(num_queries,)` int64, the number of relevant items of each query.

    Raises:
        TypeError: Ids are floats, integers in one argument and strings in another, or one string in place of a list.
        ValueError: The numbers of queries differ, an id occurs twice in a list or among the relevant ids of a query, an
            id is both relevant and ignored, or a tensor is not two-dimensional.

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
                f"{name} must have one list for each of the {num_queries} queries, got {each.num_queries}. Pass an "
                "empty list for a query without any."
            )
    ranked.refuse(ranked.repeated(), "ranked_ids must hold an id once in each list", "Remove the later ones.")
    relevant.refuse(relevant.repeated(), "relevant_ids must hold an id once for each query", "Remove the duplicates.")
    relevant.refuse(
        torch.isin(relevant.keys, ignored.keys),
        "an id must be relevant or ignored to a query, not both",
        "Remove it from one of them.",
    )

    is_kept = ~torch.isin(ranked.keys, ignored.keys)
    queries, keys = ranked.queries[is_kept], ranked.keys[is_kept]
    is_right = torch.isin(keys, relevant.keys)
    num_positives = relevant.queries.bincount(minlength=num_queries)
    width = max(1, int(num_positives.max())) if num_queries else 1
    ranks = torch.full((num_queries, width), UNRESOLVED, device=device)
    right = queries[is_right]
    ranks_of_kept = positions_in_rows(queries, queries.bincount(minlength=num_queries))
    ranks[right, positions_in_rows(right, right.bincount(minlength=num_queries))] = ranks_of_kept[is_right]
    return ranks, num_positives


@dataclass(frozen=True)
class _Entries:
    """The entries of the lists of all queries in one row, without the entries that stand for no item.

    Attributes:
        ids: The ids as given, in one row.
        positions: `(num_entries,)` int64, the position of each entry in `ids`.
        queries: `(num_entries,)` int64, the query of each entry, ascending.
        keys: `(num_entries,)` int64, equal for entries with the same query and the same id.
        num_queries: Number of lists.
    """

    ids: Any
    positions: torch.Tensor
    queries: torch.Tensor
    keys: torch.Tensor
    num_queries: int

    def repeated(self) -> torch.Tensor:
        """Return which entries repeat an earlier one of the same query, `(num_entries,)` bool."""
        order = self.keys.argsort(stable=True)
        is_again = torch.zeros_like(order, dtype=torch.bool)
        is_again[order[1:]] = self.keys[order].diff() == 0
        return is_again

    def refuse(self, is_wrong: torch.Tensor, rule: str, remedy: str) -> None:
        """Raise an error that names the first entry of `is_wrong`, `(num_entries,)` bool, if there is one.

        Args:
            is_wrong: The entries that break the rule.
            rule: The rule, as the first part of the message.
            remedy: How to mend it, as the last sentence of the message.
        """
        if is_wrong.any():
            first = int(is_wrong.nonzero()[0])
            received = self.ids[int(self.positions[first])]
            raise ValueError(f"{rule}, got {received} in query {int(self.queries[first])}. {remedy}")


def _entries(sides: Sequence[IdLists], device: torch.device) -> list[_Entries]:
    """Read several arguments with lists of ids, so that the keys of their entries can be compared."""
    flat, lengths = zip(*(_flattened(lists) for lists in sides), strict=True)
    codes = exact_codes(*flat, name="ids", device=device)
    names, numbers = torch.unique(torch.cat(codes), return_inverse=True)
    entries = []
    for ids, length, code, number in zip(
        flat, lengths, codes, numbers.split([len(code) for code in codes]), strict=True
    ):
        queries = torch.arange(len(length), device=device).repeat_interleave(length.to(device))
        positions = (code != NO_ITEM).nonzero()[:, 0]
        keys = queries * max(1, len(names)) + number
        entries.append(_Entries(ids, positions, queries[positions], keys[positions], len(length)))
    return entries


def _flattened(lists: IdLists) -> tuple[Any, torch.Tensor]:
    """Return the ids of all lists in one row, and the length of each list, `(num_queries,)` int64."""
    if isinstance(lists, (torch.Tensor, np.ndarray)):
        if lists.ndim != 2:
            raise ValueError(
                f"ids of all queries must be (num_queries, length), got shape {tuple(lists.shape)}. "
                "Reshape one id for each query with ids[:, None]."
            )
        return lists.reshape(-1), torch.full((lists.shape[0],), lists.shape[1])
    if any(isinstance(row, (str, bytes)) for row in lists):
        raise TypeError(
            "ids must be one list for each query, got one string. Write [[id], ...] for one id for each query."
        )
    rows = [list(row) for row in lists]
    return list(chain.from_iterable(rows)), torch.tensor([len(row) for row in rows], dtype=torch.int64)
