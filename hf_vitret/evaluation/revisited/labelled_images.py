"""The images that a revisited ground truth says something about, of all queries in one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth

Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Booleans: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

KINDS = ("easy", "hard", "junk")
LEVELS = {"easy": ("easy",), "medium": ("easy", "hard"), "hard": ("hard",)}
"""Which images are to be found at each level. What is labelled and not to be found is taken out of the ranking."""


@dataclass(frozen=True)
class LabelledImages:
    """The easy, hard and junk images of all queries, by query, then gallery row.

    At each level a labelled image is either to be found or taken out, so that what stands in the way of the images to
    be found are always the images without a label. How many of these rank ahead of each is all that the metrics need.

    Attributes:
        queries: `(num_labelled,)` int64 rows of the queries, ascending.
        rows: `(num_labelled,)` int64 gallery rows, ascending within a query.
        kinds: `(num_labelled,)` int64 places in `KINDS`.
        num_queries: All queries, also those without a labelled image.
        num_gallery: Images of the ground truth's gallery. Rows from there on are distractors.
    """

    queries: Integers
    rows: Integers
    kinds: Integers
    num_queries: int
    num_gallery: int

    @classmethod
    def of(cls, ground_truth: RevisitedGroundTruth) -> LabelledImages:
        """Collect the images of a ground truth."""
        parts = [part for kind in KINDS for part in getattr(ground_truth, kind)]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        num_queries = len(ground_truth.query_ids)
        queries = np.tile(np.arange(num_queries), len(KINDS)).repeat(lengths)
        kinds = np.arange(len(KINDS)).repeat(num_queries).repeat(lengths)
        rows = np.concatenate([np.empty(0, np.int64), *parts])
        order = np.lexsort((rows, queries))
        return cls(queries[order], rows[order], kinds[order], num_queries, len(ground_truth.gallery_ids))

    @property
    def are_positive(self) -> Booleans:
        """Which of the images are to be found at one level at least, `(num_labelled,)` bool."""
        are_positive: Booleans = self.kinds != KINDS.index("junk")
        return are_positive

    def are_labelled(self) -> Booleans:
        """Return which gallery rows are labelled for which query, `(num_queries, num_gallery)` bool."""
        are_labelled = np.zeros((self.num_queries, self.num_gallery), dtype=np.bool_)
        are_labelled[self.queries, self.rows] = True
        return are_labelled

    def entries_of(self, queries: Integers, rows: Integers) -> Integers:
        """Return the places of labelled pairs of query and gallery row, `(num_pairs,)` int64 each, in these arrays."""
        return np.searchsorted(self.queries * self.num_gallery + self.rows, queries * self.num_gallery + rows)
