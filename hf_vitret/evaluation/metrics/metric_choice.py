"""`MetricChoice`: the metrics to compute, their cut-offs and the rule for ties; it computes the values from ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch

from hf_vitret.evaluation.metrics.expected_ties import (
    TieGroups,
    expected_average_precision,
    expected_map_at_k,
    expected_map_at_r,
    expected_precision_at_k,
    expected_r_precision,
    expected_recall_at_k,
    expected_reciprocal_rank,
)
from hf_vitret.evaluation.metrics.rank_metrics import (
    average_precision,
    map_at_k,
    map_at_r,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
)

DEFAULT_KS = (1, 10, 100, 1000)
"""The cut-offs k that El-Nouby et al., arXiv 2102.05644, report on Stanford Online Products."""
DEFAULT_METRICS = ("recall_at_k", "map_at_r", "r_precision")
TIES = ("pessimistic", "expected")

# Two functions for each metric: of the ranks and the number of positives, and of the tie groups and that number. The
# metrics in the first table are computed at each k, those in the second once.
_AT_K: dict[
    str,
    tuple[
        Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor],
        Callable[[TieGroups, torch.Tensor, int], torch.Tensor],
    ],
] = {
    "recall_at_k": (lambda ranks, _, k: recall_at_k(ranks, k), lambda ties, _, k: expected_recall_at_k(ties, k)),
    "precision_at_k": (
        lambda ranks, _, k: precision_at_k(ranks, k),
        lambda ties, _, k: expected_precision_at_k(ties, k),
    ),
    "map_at_k": (map_at_k, expected_map_at_k),
}
_ONCE: dict[
    str,
    tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], Callable[[TieGroups, torch.Tensor], torch.Tensor]],
] = {
    "map_at_r": (map_at_r, expected_map_at_r),
    "r_precision": (r_precision, expected_r_precision),
    "map": (average_precision, expected_average_precision),
    "mrr": (lambda ranks, _: reciprocal_rank(ranks), lambda ties, _: expected_reciprocal_rank(ties)),
}
METRICS = (*_AT_K, *_ONCE)


class WantedRanks(TypedDict):
    """The arguments of `positive_ranks` and `ShardedRanks` that select which ranks are resolved."""

    every_rank: bool
    best_only: bool
    cutoffs: Sequence[int] | None


@dataclass(frozen=True)
class MetricChoice:
    """Names of metrics, their cut-offs and the rule for ties.

    Attributes:
        metrics: Names out of `METRICS`, each once. A name that ends in `_at_k` stands for one metric at each cut-off.
        ks: The cut-offs, each at least 1. They are sorted, and duplicates are removed.
        ties: `"pessimistic"`: a negative that ties with a positive ranks ahead of it. `"expected"`: a value is its mean
            over all orders of the items that tie.

    Raises:
        ValueError: A name or a rule is unknown, a metric occurs twice, there is no metric, or a cut-off is not an
            integer of at least 1.

    Example:
        >>> MetricChoice(("recall_at_k", "mrr"), (10, 1)).keys
        ('recall_at_1', 'recall_at_10', 'mrr')
    """

    metrics: Sequence[str] = DEFAULT_METRICS
    ks: Sequence[int] = DEFAULT_KS
    ties: str = "pessimistic"

    def __post_init__(self) -> None:
        """Check the fields and put them in order."""
        object.__setattr__(self, "metrics", check_metrics(self.metrics, METRICS))
        object.__setattr__(self, "ks", check_ks(self.ks))
        if self.ties not in TIES:
            raise ValueError(f"ties must be one of {', '.join(TIES)}; got {self.ties!r}. Choose one of these rules.")

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the values, in the order of `metrics`: `recall_at_1`, `recall_at_10`, `map_at_r`."""
        return tuple(key for name in self.metrics for key in expand(name, self.ks))

    @property
    def is_expected(self) -> bool:
        """Whether the values are expected ones, which need the optimistic ranks too."""
        return self.ties == "expected"

    @property
    def wanted_ranks(self) -> WantedRanks:
        """The ranks that the values need, as arguments of `positive_ranks`, which does not count the others.

        The rank of the best positive gives R@k, MRR and the value at k = 1. Other ranks at or beyond R matter only for
        the average over the whole list, and for metrics that count hits up to a k above 1, which may be larger than R.
        Expected values need all ranks, because any of them may belong to a tie.
        """
        names = set(self.metrics)
        counts_hits = not names.isdisjoint({"precision_at_k", "map_at_k"})
        last = max(self.ks, default=1)
        if self.is_expected or "map" in names or (counts_hits and last > 1):
            return {"every_rank": True, "best_only": False, "cutoffs": None}
        of_all_positives = {"map_at_r", "r_precision"}
        return {
            "every_rank": False,
            "best_only": names.isdisjoint(of_all_positives),
            "cutoffs": None if "mrr" in names else self.ks or (1,),
        }

    def values(
        self, num_positives: torch.Tensor, ranks: torch.Tensor, optimistic: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the metrics of some queries.

        Args:
            num_positives: `(num_queries,)` int64, the number of positives of each query, at least 1.
            ranks: `(num_queries, max_positives)` int64, the pessimistic ranks of the positives; see `PositiveRanks`.
            optimistic: `(num_queries, max_positives)` int64, the optimistic ranks, required for expected values and
                only for them. All ranks of both tensors must then be resolved.

        Returns:
            For each of `keys`, `(num_queries,)` float64 in [0, 1].
        """
        values: dict[str, torch.Tensor] = {}
        groups = None if optimistic is None else TieGroups.between(optimistic, ranks, num_positives)
        for name in self.metrics:
            if name in _AT_K:
                of_ranks_at, of_ties_at = _AT_K[name]
                for key, k in zip(expand(name, self.ks), self.ks, strict=True):
                    if groups is None:
                        values[key] = of_ranks_at(ranks, num_positives, k)
                    else:
                        values[key] = of_ties_at(groups, num_positives, k)
            else:
                of_ranks, of_ties = _ONCE[name]
                values[name] = of_ranks(ranks, num_positives) if groups is None else of_ties(groups, num_positives)
        return values


def expand(name: str, ks: Sequence[int]) -> list[str]:
    """Return the names of a metric at each cut-off, or its one name if it has no cut-off.

    Example:
        >>> expand("recall_at_k", (1, 10)), expand("map_at_r", (1, 10))
        (['recall_at_1', 'recall_at_10'], ['map_at_r'])
    """
    return [f"{name.removesuffix('k')}{k}" for k in ks] if name.endswith("_at_k") else [name]


def check_metrics(metrics: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Check the names of metrics and return them as a tuple.

    Args:
        metrics: One name, or a sequence of names.
        known: The names to choose from.

    Raises:
        ValueError: A name is unknown, a name occurs twice, or there is none.
    """
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"metrics must be some of {', '.join(known)}, each once; got {', '.join(map(str, names)) or 'none'}. "
            "Pass the cut-offs of the metrics at k as ks."
        )
    return names


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Check the cut-offs and return them sorted, without duplicates.

    Raises:
        ValueError: A cut-off is not an integer of at least 1.
    """
    if any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in ks):
        raise ValueError(f"ks must be integers of at least 1, got {tuple(ks)}. Pass 1 for the nearest neighbour alone.")
    return tuple(sorted(set(ks)))
