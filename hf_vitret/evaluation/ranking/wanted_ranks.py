"""`Wanted`: which ranks of the positives to resolve, and the rule and the tolerance for ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts

# Two scores tie if they differ by at most this (for unit-norm rows; else times both norms). Scores of given rows are
# exact, but the rows are not: a ViT embeds one image with differences of up to 2.9e-7 in an entry, in batches of 1 and
# of 64 (32 to 384 dimensions, on a CPU). The tolerance is still 30 times finer than a bf16 score.
TIE_TOLERANCE = 2e-6

UNRESOLVED = torch.iinfo(torch.int64).max
"""The rank of a padded entry, and of a positive that is only known to rank too low to matter."""

TieRule = Literal["pessimistic", "optimistic"]
"""Whether a negative that ties with a positive ranks ahead of it, or behind it."""


@dataclass(frozen=True)
class Wanted:
    """Which ranks of the positives to resolve.

    Attributes:
        every_rank: Resolve all ranks.
        best_only: Resolve only the rank of the best positive.
        cutoffs: The cut-offs of R@k, if the rank of the best positive is used for nothing else. `None`: this rank is
            exact.
        ties: Whether a negative that ties with a positive ranks ahead of it (`"pessimistic"`) or behind it
            (`"optimistic"`).

    Raises:
        ValueError: `every_rank` comes with `best_only` or `cutoffs`, there is no cut-off, a cut-off is below 1, or the
            rule for ties is unknown.
    """

    every_rank: bool = False
    best_only: bool = False
    cutoffs: Sequence[int] | None = None
    ties: TieRule = "pessimistic"

    def __post_init__(self) -> None:
        if self.every_rank and (self.best_only or self.cutoffs is not None):
            raise ValueError(
                "every_rank must come without best_only and cutoffs, because it resolves all ranks; got "
                f"best_only={self.best_only} and cutoffs={self.cutoffs}. Leave best_only and cutoffs out."
            )
        if self.cutoffs is not None and (not self.cutoffs or min(self.cutoffs) < 1):
            raise ValueError(
                f"cutoffs must be at least one rank, each at least 1, got {tuple(self.cutoffs)}. Pass None to resolve "
                "the rank itself."
            )
        if self.ties not in ("pessimistic", "optimistic"):
            raise ValueError(f"ties must be 'pessimistic' or 'optimistic', got {self.ties!r}. Choose one of these.")

    def thresholds(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the score that a negative must reach to rank ahead of each positive.

        Args:
            scores: `(num_queries, width)` float32, the scores of the positives less the tolerance, in any order; -inf
                fills the rest of a row.

        Returns:
            `(num_queries, num_ranks)` float32, descending along a row.
        """
        ordered = scores.amax(dim=1, keepdim=True) if self.best_only else scores.sort(dim=1, descending=True).values
        if self.ties == "optimistic":  # a negative must score more, not as much; -inf only fills
            ordered = torch.where(ordered > -torch.inf, ordered.nextafter(torch.full_like(ordered, torch.inf)), ordered)
        return ordered

    @property
    def is_of_sides(self) -> bool:
        """Whether only the side of some cut-offs matters on which the rank of the best positive is."""
        return self.best_only and self.cutoffs is not None

    @property
    def tolerance(self) -> float:
        """Amount that is subtracted from the score of a positive, for unit norms; negative for optimistic ties."""
        return TIE_TOLERANCE if self.ties == "pessimistic" else -TIE_TOLERANCE

    def begin_counts(self, thresholds: torch.Tensor, num_positives: torch.Tensor) -> ThresholdCounts:
        """Return counts of zero, which drop a threshold once its positive is known to rank too low to matter.

        Args:
            thresholds: `(num_queries, num_ranks)` float32, descending along a row.
            num_positives: `(num_queries,)` int64.
        """
        never = torch.full_like(num_positives, UNRESOLVED)
        limits = never if self.every_rank else num_positives
        first_limits = never if self.cutoffs is None else num_positives.clamp(min=max(self.cutoffs))
        return ThresholdCounts(thresholds, num_positives.clamp(max=thresholds.shape[1]), limits, first_limits)
