"""Expected values of retrieval metrics over all orders of the items that tie, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums

# Harmonic numbers are integer multiples of 2**-58, so that the differences of neighbouring ones lose no digits; 2**5 of
# these units fit an int64.
_HARMONIC_BITS = 58
# Number of probabilities of the position of a best positive held at once, in float64: 2M are 16 MB.
_MAX_CHANCES = 2_000_000


@dataclass(frozen=True)
class TieGroups:
    """The positives of each query, grouped with the negatives that they tie with.

    A group consists of the positives that have the same number of negatives strictly ahead of them and tie with the
    same negatives. The positives and negatives of a group are taken to be in random order. Each tensor is
    `(num_queries, max_positives)` int64; a group is stored in the column of its first positive. A positive that ties
    with no negative is a group by itself.

    Ties are not transitive: two items that tie with a third need not tie with each other. Positives whose sets of tied
    negatives overlap only in part are separate groups, and each is spread over the negatives that it ties with itself.
    An expected value is therefore never above that of the best order, nor below that of the worst order.

    Attributes:
        num_right: Number of positives in the group; 0 in columns where no group starts.
        num_wrong: Number of negatives that tie with them.
        num_ahead: Number of items, positives and negatives, ahead of the whole group.

    Reference:
        McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
        Scores, ECIR 2008.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> groups.num_right, groups.num_wrong, groups.num_ahead  # two positives and two negatives, all tied
        (tensor([[2, 0]]), tensor([[2, 0]]), tensor([[0, 0]]))
    """

    num_right: torch.Tensor
    num_wrong: torch.Tensor
    num_ahead: torch.Tensor

    @classmethod
    def between(cls, optimistic: torch.Tensor, pessimistic: torch.Tensor, num_positives: torch.Tensor) -> TieGroups:
        """Find the groups from the ranks of the positives under both rules for ties.

        Args:
            optimistic: `(num_queries, max_positives)` int64, the 0-based ranks if positives rank ahead of the negatives
                that they tie with; ascending along a row, all resolved.
            pessimistic: `(num_queries, max_positives)` int64, the ranks if positives rank behind these negatives; none
                is below the optimistic one.
            num_positives: `(num_queries,)` int64, the number of positives; the columns from there on are padding.
        """
        columns = torch.arange(optimistic.shape[1], device=optimistic.device)
        is_right = columns < num_positives.unsqueeze(1)
        num_wrong = (pessimistic - optimistic).masked_fill(~is_right, 0)
        num_before = (optimistic - columns).masked_fill(~is_right, 0)  # negatives strictly ahead
        is_first = torch.ones_like(is_right)
        is_first[:, 1:] = (num_wrong.diff(dim=1) != 0) | (num_before.diff(dim=1) != 0) | (num_wrong[:, 1:] == 0)
        first = torch.where(is_first, columns, 0).cummax(dim=1).values
        num_right = torch.zeros_like(optimistic).scatter_add_(1, first, is_right.long())
        starts = num_right > 0
        return cls(num_right, num_wrong * starts, (num_before + columns) * starts)

    def head(self, k: int) -> TieGroups:
        """Return the groups that can reach the first k ranks: the positive in column j has j others ahead of it."""
        return TieGroups(self.num_right[:, :k], self.num_wrong[:, :k], self.num_ahead[:, :k])


def expected_recall_at_k(groups: TieGroups, k: int) -> torch.Tensor:
    """Compute for each query the probability that a positive is among its first k items.

    It is 1 minus the probability that all positives of the first group are behind rank k, which is C(wrong, c) / C(all,
    c) if c positions of the group are among the first k.

    Args:
        groups: The tie groups of the queries.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> expected_recall_at_k(groups, k=1)  # two of the four items that tie are positives
        tensor([0.5000], dtype=torch.float64)
    """
    num_right, num_wrong, num_ahead = (each[:, 0] for each in (groups.num_right, groups.num_wrong, groups.num_ahead))
    size = num_right + num_wrong
    num_within = (k - num_ahead).clamp(min=0).minimum(size)
    # C(wrong, c) / C(size, c) = C(size - c, right) / C(size, right): take the form with fewer factors.
    num_factors = torch.minimum(num_right, num_within)
    left = size - torch.maximum(num_right, num_within)
    chance_of_none = torch.ones_like(size, dtype=torch.float64)
    for step in range(int(num_factors.max()) if len(size) else 0):
        factor = (left - step).clamp(min=0) / (size - step).clamp(min=1).double()
        chance_of_none *= factor.where(num_factors > step, 1.0)
    return (1.0 - chance_of_none) * (num_right > 0)


def expected_precision_at_k(groups: TieGroups, k: int) -> torch.Tensor:
    """Compute for each query the expected share of positives among its first k items, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> expected_precision_at_k(groups, k=3)  # 3 * 2 / 4 positives in 3 positions
        tensor([0.5000], dtype=torch.float64)
    """
    return _expected_precision(groups.head(k), torch.full_like(groups.num_right[:, 0], k))


def expected_r_precision(groups: TieGroups, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute for each query the expected share of positives among its first R items, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> expected_r_precision(groups, torch.tensor([2]))
        tensor([0.5000], dtype=torch.float64)
    """
    return _expected_precision(groups, num_positives)


def expected_average_precision(groups: TieGroups, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute the expected average precision of each query, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0]]), torch.tensor([[2]]), torch.tensor([1]))
        >>> expected_average_precision(groups, torch.tensor([1]))  # (1 + 1/2 + 1/3) / 3
        tensor([0.6111], dtype=torch.float64)
    """
    return _expected_map(groups, None, num_positives)


def expected_map_at_r(groups: TieGroups, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute the expected MAP@R of each query, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0]]), torch.tensor([[2]]), torch.tensor([1]))
        >>> expected_map_at_r(groups, torch.tensor([1]))  # the first of three
        tensor([0.3333], dtype=torch.float64)
    """
    return _expected_map(groups, num_positives, num_positives)


def expected_map_at_k(groups: TieGroups, num_positives: torch.Tensor, k: int) -> torch.Tensor:
    """Compute the expected mAP@k of each query, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0]]), torch.tensor([[2]]), torch.tensor([1]))
        >>> expected_map_at_k(groups, torch.tensor([1]), k=2)  # (1 + 1/2) / 3
        tensor([0.5000], dtype=torch.float64)
    """
    return _expected_map(groups.head(k), torch.full_like(num_positives, k), num_positives.clamp(max=k))


def expected_reciprocal_rank(groups: TieGroups) -> torch.Tensor:
    """Compute for each query the expected value of 1 divided by the 1-based rank of its best positive.

    The best of n positives in a group of N items is at position t of the group, from 0, with probability C(N - 1 - t, n
    - 1) / C(N, n).

    Args:
        groups: The tie groups of the queries.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([2]))
        >>> expected_reciprocal_rank(groups)  # 2/3 + 1/3 / 2
        tensor([0.8333], dtype=torch.float64)
    """
    firsts = torch.stack([groups.num_wrong[:, 0], groups.num_right[:, 0], groups.num_ahead[:, 0]])
    # Many queries share one case, above all if a model has collapsed. The cases are sorted by the number of negatives.
    # They are computed on a CPU, where a running product multiplies in order; on CUDA its result depends on its length.
    cases, case_of_query = torch.unique(firsts, dim=1, return_inverse=True)
    cases = cases.cpu()
    num_wrong, num_right, num_ahead = cases.double().unsqueeze(2)
    values = torch.zeros(cases.shape[1], dtype=torch.float64)
    stop = cases.shape[1]
    while stop:
        width = int(cases[0, stop - 1]) + 1  # positions that the best positive can have
        start = max(0, stop - max(1, _MAX_CHANCES // width))
        wrong, right, ahead = num_wrong[start:stop], num_right[start:stop], num_ahead[start:stop]
        positions = torch.arange(width, dtype=torch.float64)
        chances = torch.empty(stop - start, width, dtype=torch.float64)
        chances[:, :1] = right / (right + wrong).clamp(min=1)
        num_left = (wrong + right - positions[1:]).clamp(min=1)  # items of the group from the position on
        chances[:, 1:] = (wrong - positions[:-1]).clamp(min=0) / num_left
        values[start:stop] = row_sums(chances.cumprod(dim=1) / (ahead + 1 + positions))
        stop = start
    return values.to(firsts.device)[case_of_query]


def _expected_precision(groups: TieGroups, cutoffs: torch.Tensor) -> torch.Tensor:
    """Compute the expected precision of each query at its cut-off.

    Each position of a group holds a positive with the same probability.

    Args:
        groups: The tie groups of the queries.
        cutoffs: `(num_queries,)` int64.

    Returns:
        `(num_queries,)` float64 in [0, 1].
    """
    size = (groups.num_right + groups.num_wrong).clamp(min=1)
    num_within = (cutoffs.unsqueeze(1) - groups.num_ahead).clamp(min=0).minimum(size)
    shares = (groups.num_right * num_within).double() / (size * cutoffs.unsqueeze(1))
    return row_sums(shares)


def _expected_map(groups: TieGroups, cutoffs: torch.Tensor | None, divisors: torch.Tensor) -> torch.Tensor:
    """Sum the expected precisions at the positives up to a cut-off, and divide the sums.

    In a group of N items with n positives, let h - 1 items be ahead of the group, p of them positives. The item at
    position t of the group (from 0) is a positive with probability n / N, and the expected precision there is then (p +
    1 + t b) / (h + t), where b = (n - 1) / (N - 1). The sum over t < T is b T + (p + 1 - b h) (H(h + T - 1) - H(h -
    1)), where H are the harmonic numbers.

    Args:
        groups: The tie groups of the queries.
        cutoffs: `(num_queries,)` int64; `None` sums over the whole list.
        divisors: `(num_queries,)` int64.

    Returns:
        `(num_queries,)` float64 in [0, 1].
    """
    right, ahead = groups.num_right, groups.num_ahead
    size = (right + groups.num_wrong).clamp(min=1)
    num_within = size if cutoffs is None else (cutoffs.unsqueeze(1) - ahead).clamp(min=0).minimum(size)
    right_before = torch.arange(right.shape[1], dtype=torch.float64, device=right.device)
    growth = (right - 1).clamp(min=0) / (size - 1).clamp(min=1).double()
    harmonic = _harmonic_numbers(int((ahead + size).max()) if right.numel() else 0).to(right.device)
    differences = (harmonic[ahead + num_within] - harmonic[ahead]).double() * 2.0**-_HARMONIC_BITS
    sums = growth * num_within + (right_before + 1 - growth * (ahead + 1)) * differences
    untied = (right_before + 1) / (ahead + 1) * num_within.clamp(max=1)
    sums = torch.where(size == 1, untied, sums * right / size).masked_fill(right == 0, 0.0)
    return row_sums(sums / divisors.unsqueeze(1))


def _harmonic_numbers(last: int) -> torch.Tensor:
    """Return H(0) to H(last) in units of 2**-58, `(last + 1,)` int64 on the CPU."""
    terms = torch.zeros(last + 1, dtype=torch.float64)
    terms[1:] = 2.0**_HARMONIC_BITS / torch.arange(1, last + 1, dtype=torch.float64)
    return terms.round().long().cumsum(dim=0)
