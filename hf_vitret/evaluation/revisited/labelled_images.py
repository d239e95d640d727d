"""`LabelledImages`: the easy, hard and junk images of all queries of a revisited ground truth, as flat arrays."""

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
"""The kinds of images that are positives at each level. Images of the other kinds are removed from the ranking."""


@dataclass(frozen=True)
class LabelledImages:
    """The easy, hard and junk images of all queries, sorted by query and then by gallery row.

    At each level a labelled image is either a positive or removed from the ranking. So the negatives of a query are the
    images without a label at every level, and the number of negatives ahead of each labelled image is all that the
    metrics need.

    Attributes:
        queries: `(num_labelled,)` int64, rows of the queries, ascending.
        rows: `(num_labelled,)` int64, gallery rows, ascending within a query.
        kinds: `(num_labelled,)` int64, indices into `KINDS`.
        num_queries: Number of all queries, with or without labelled images.
        num_gallery: Number of gallery images in the ground truth. Rows from there on are distractors.
    """

    queries: Integers
    rows: Integers
    kinds: Integers
    num_queries: int
    num_gallery: int

    @classmethod
    def of(cls, ground_truth: RevisitedGroundTruth) -> LabelledImages:
        """Collect the labelled images of a ground truth."""
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
        """Whether each image is a positive at one level at least, `(num_labelled,)` bool."""
        are_positive: Booleans = self.kinds != KINDS.index("junk")
        return are_positive

    def are_labelled(self) -> Booleans:
        """Return which gallery rows are labelled for which query, `(num_queries, num_gallery)` bool."""
        are_labelled = np.zeros((self.num_queries, self.num_gallery), dtype=np.bool_)
        are_labelled[self.queries, self.rows] = True
        return are_labelled

    def entries_of(self, queries: Integers, rows: Integers) -> Integers:
        """Return the positions of labelled pairs in these arrays.

        Args:
            queries: `(num_pairs,)` int64, the query of each pair.
            rows: `(num_pairs,)` int64, the gallery row of each pair.

        Returns:
            `(num_pairs,)` int64.
        """
        return np.searchsorted(self.queries * self.num_gallery + self.rows, queries * self.num_gallery + rows)
