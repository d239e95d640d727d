"""Expected values of retrieval metrics where items that tie come in random order, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.metrics.metric_sums import row_sums

# Harmonic numbers as multiples of 2**-58: differences of neighbours lose nothing, and 2**5 of them fit an int64.
_HARMONIC_BITS = 58
# Chances of the places of a best positive held at once, in float64: 2M are 16 MB.
_MAX_CHANCES = 2_000_000


@dataclass(frozen=True)
class TieGroups:
    """The right items of each query with what they tie with; every tensor is `(num_queries, max_positives)` int64.

    A group is right items with the same wrong items strictly ahead of them and the same wrong items level with them;
    its items, right and wrong, come in random order. It stands in the column of its first right item. A right item
    that ties with no wrong one is a group of its own.

    Two items within the tolerance of a third need not be within that of each other. Right items whose ties overlap in
    part are groups of their own: each is spread over the wrong items that it ties with itself. A value is therefore
    never above that of the best order, nor below that of the worst.

    Attributes:
        num_right: Right items of the group; 0 where no group starts.
        num_wrong: Wrong items that tie with them.
        num_ahead: Items ahead of the whole group, right and wrong.

    Reference:
        McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
        Scores, ECIR 2008.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> groups.num_right, groups.num_wrong, groups.num_ahead  # two right and two wrong items, all level
        (tensor([[2, 0]]), tensor([[2, 0]]), tensor([[0, 0]]))
    """

    num_right: torch.Tensor
    num_wrong: torch.Tensor
    num_ahead: torch.Tensor

    @classmethod
    def between(cls, optimistic: torch.Tensor, pessimistic: torch.Tensor, num_positives: torch.Tensor) -> TieGroups:
        """Find the groups from the ranks with all ties won and with all ties lost.

        Args:
            optimistic: `(num_queries, max_positives)` int64, 0-based, ascending, all resolved.
            pessimistic: The same, none below the optimistic one.
            num_positives: `(num_queries,)` int64; what is beyond in a row is padding.
        """
        columns = torch.arange(optimistic.shape[1], device=optimistic.device)
        is_right = columns < num_positives.unsqueeze(1)
        num_wrong = (pessimistic - optimistic).masked_fill(~is_right, 0)
        num_before = (optimistic - columns).masked_fill(~is_right, 0)  # wrong items strictly ahead
        is_first = torch.ones_like(is_right)
        is_first[:, 1:] = (num_wrong.diff(dim=1) != 0) | (num_before.diff(dim=1) != 0) | (num_wrong[:, 1:] == 0)
        first = torch.where(is_first, columns, 0).cummax(dim=1).values
        num_right = torch.zeros_like(optimistic).scatter_add_(1, first, is_right.long())
        starts = num_right > 0
        return cls(num_right, num_wrong * starts, (num_before + columns) * starts)

    def head(self, k: int) -> TieGroups:
        """Return all groups that can reach the first k places: the right item of column j has j others ahead."""
        return TieGroups(self.num_right[:, :k], self.num_wrong[:, :k], self.num_ahead[:, :k])


def expected_recall_at_k(groups: TieGroups, k: int) -> torch.Tensor:
    """Compute for each query the chance that a right item is among the first k.

    That is one less the chance that all right items of the first group fall behind: C(wrong, c) / C(all, c), where c
    of the group's places are among the first k.

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> expected_recall_at_k(groups, k=1)  # two of the four that tie are right
        tensor([0.5000], dtype=torch.float64)
    """
    num_right, num_wrong, num_ahead = (each[:, 0] for each in (groups.num_right, groups.num_wrong, groups.num_ahead))
    size = num_right + num_wrong
    num_within = (k - num_ahead).clamp(min=0).minimum(size)
    # C(wrong, c) / C(size, c) = C(size - c, right) / C(size, right): the one of fewer factors.
    num_factors = torch.minimum(num_right, num_within)
    left = size - torch.maximum(num_right, num_within)
    chance_of_none = torch.ones_like(size, dtype=torch.float64)
    for step in range(int(num_factors.max()) if len(size) else 0):
        factor = (left - step).clamp(min=0) / (size - step).clamp(min=1).double()
        chance_of_none *= factor.where(num_factors > step, 1.0)
    return (1.0 - chance_of_none) * (num_right > 0)


def expected_precision_at_k(groups: TieGroups, k: int) -> torch.Tensor:
    """Compute for each query the expected share of right items among its first k, `(num_queries,)` float64.

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([2]))
        >>> expected_precision_at_k(groups, k=3)  # 3 * 2 / 4 right items in 3 places
        tensor([0.5000], dtype=torch.float64)
    """
    return _expected_precision(groups.head(k), torch.full_like(groups.num_right[:, 0], k))


def expected_r_precision(groups: TieGroups, num_positives: torch.Tensor) -> torch.Tensor:
    """Compute for each query the expected share of right items among its first R, `(num_queries,)` float64.

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
    """Compute for each query the expected value of 1 over the 1-based rank of its best right item.

    The best of n right items among N that tie stands at place t with chance C(N - 1 - t, n - 1) / C(N, n).

    Returns:
        `(num_queries,)` float64 in [0, 1].

    Example:
        >>> groups = TieGroups.between(torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([2]))
        >>> expected_reciprocal_rank(groups)  # 2/3 + 1/3 / 2
        tensor([0.8333], dtype=torch.float64)
    """
    firsts = torch.stack([groups.num_wrong[:, 0], groups.num_right[:, 0], groups.num_ahead[:, 0]])
    # Many queries share one case, where a model has collapsed above all; sorted by the wrong items. On a CPU, where a
    # running product is taken in order: on CUDA it depends on its length.
    cases, case_of_query = torch.unique(firsts, dim=1, return_inverse=True)
    cases = cases.cpu()
    num_wrong, num_right, num_ahead = cases.double().unsqueeze(2)
    values = torch.zeros(cases.shape[1], dtype=torch.float64)
    stop = cases.shape[1]
    while stop:
        width = int(cases[0, stop - 1]) + 1  # places of the best right item
        start = max(0, stop - max(1, _MAX_CHANCES // width))
        wrong, right, ahead = num_wrong[start:stop], num_right[start:stop], num_ahead[start:stop]
        places = torch.arange(width, dtype=torch.float64)
        chances = torch.empty(stop - start, width, dtype=torch.float64)
        chances[:, :1] = right / (right + wrong).clamp(min=1)
        num_left = (wrong + right - places[1:]).clamp(min=1)  # of the group, once a place is taken
        chances[:, 1:] = (wrong - places[:-1]).clamp(min=0) / num_left
        values[start:stop] = row_sums(chances.cumprod(dim=1) / (ahead + 1 + places))
        stop = start
    return values.to(firsts.device)[case_of_query]


def _expected_precision(groups: TieGroups, cutoffs: torch.Tensor) -> torch.Tensor:
    """Share a group's right items evenly over its places; `cutoffs` is `(num_queries,)` int64."""
    size = (groups.num_right + groups.num_wrong).clamp(min=1)
    num_within = (cutoffs.unsqueeze(1) - groups.num_ahead).clamp(min=0).minimum(size)
    shares = (groups.num_right * num_within).double() / (size * cutoffs.unsqueeze(1))
    return row_sums(shares)


def _expected_map(groups: TieGroups, cutoffs: torch.Tensor | None, divisors: torch.Tensor) -> torch.Tensor:
    """Add the expected precisions at the right items up to a cut-off, `(num_queries,)` int64, or at all.

    In a group of N items, n of them right, with h - 1 items ahead, p of them right, place t (from 0) is right with
    chance n / N, and then the expected precision there is (p + 1 + t b) / (h + t), where b = (n - 1) / (N - 1). The
    sum over t < T is b T + (p + 1 - b h) (H(h + T - 1) - H(h - 1)), where H are the harmonic numbers.
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
