"""Which ranks are to be resolved, and how a tie counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts

# Scores closer than this are ties (for unit-norm rows; else times both norms). The scores of two rows are exact, but
# not the rows: a ViT embeds one image up to 2.9e-7 apart, in an entry, in batches of 1 and of 64 (32 to 384
# dimensions, on a CPU). It is still 30 times finer than a bf16 score.
TIE_TOLERANCE = 2e-6

UNRESOLVED = torch.iinfo(torch.int64).max
"""The rank of a padded entry, and of a positive known only to rank too far down to matter."""

TieRule = Literal["pessimistic", "optimistic"]
"""Whether a wrong item that ties with a right one ranks ahead of it, or behind it."""


@dataclass(frozen=True)
class Wanted:
    """Which ranks are to be resolved; as in `positive_ranks`.

    Raises:
        ValueError: Every rank and the best alone, or cut-offs; no cut-off or one below 1; or no such rule of ties.
    """

    every_rank: bool = False
    best_only: bool = False
    cutoffs: Sequence[int] | None = None
    ties: TieRule = "pessimistic"

    def __post_init__(self) -> None:
        if self.every_rank and (self.best_only or self.cutoffs is not None):
            raise ValueError("every_rank resolves all ranks: leave best_only and cutoffs out with it.")
        if self.cutoffs is not None and (not self.cutoffs or min(self.cutoffs) < 1):
            raise ValueError(f"cutoffs must be at least one rank, each at least 1, got {tuple(self.cutoffs)}.")
        if self.ties not in ("pessimistic", "optimistic"):
            raise ValueError(f"ties must be 'pessimistic' or 'optimistic', got {self.ties!r}.")

    def thresholds(self, scores: torch.Tensor) -> torch.Tensor:
        """Return what a wrong item must score to rank ahead, `(num_queries, num_ranks)` float32, descending.

        Args:
            scores: `(num_queries, width)` float32 of the positives, `tolerance` taken off, in any order, -inf filled.
        """
        ordered = scores.amax(dim=1, keepdim=True) if self.best_only else scores.sort(dim=1, descending=True).values
        if self.ties == "optimistic":  # it must score more, not as much; nothing is more than -inf, which only fills
            ordered = torch.where(ordered > -torch.inf, ordered.nextafter(torch.full_like(ordered, torch.inf)), ordered)
        return ordered

    @property
    def is_of_sides(self) -> bool:
        """Whether no rank matters but on which side of some cut-offs the best positive's lies."""
        return self.best_only and self.cutoffs is not None

    @property
    def tolerance(self) -> float:
        """What a positive is worth less than it scores, for unit norms."""
        return TIE_TOLERANCE if self.ties == "pessimistic" else -TIE_TOLERANCE

    def begin_counts(self, thresholds: torch.Tensor, num_positives: torch.Tensor) -> ThresholdCounts:
        """Return counts, still zero, that drop a threshold once its rank is known to be too far down to matter."""
        never = torch.full_like(num_positives, UNRESOLVED)
        limits = never if self.every_rank else num_positives
        first_limits = never if self.cutoffs is None else num_positives.clamp(min=max(self.cutoffs))
        return ThresholdCounts(thresholds, num_positives.clamp(max=thresholds.shape[1]), limits, first_limits)
