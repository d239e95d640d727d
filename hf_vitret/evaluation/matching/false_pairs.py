"""The scores of all pairs of two labels, of which any order statistic is found by counting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.exact_scores import ExactScores, row_norms
from hf_vitret.search.entry_positions import true_positions
from hf_vitret.search.exact_codes import Identifiers
from hf_vitret.search.inner_products import inner_products

# Bins of the first histogram. With 32,768 over the cosines, a bin is 2.6 times as wide as a float32 product may be
# wrong (384 dimensions): narrow enough for one more walk to do, where the score is not close to zero.
_NUM_BINS = 32_768
# Float32 scores told apart in one walk, at most: the counts of five windows are 3 MB.
_MAX_KEYS = 1 << 16
# torch.histc counts in float32, which is exact up to 2**24.
_HISTOGRAM_SIZE = 1 << 22
# Of the scores of a tile, the share that may need their exact value: from there on, a product in float64 costs less.
_MAX_DOUBTFUL = 0.02


class FalsePairs:
    """The pairs of a query and a gallery item whose labels differ.

    Their scores are looked at a tile at a time, in several walks, and never kept. The first walk draws a histogram of
    float32 products and tells in which window an order statistic lies, the second counts the exact scores in that
    window; where it holds more than 65,536 different float32 numbers, as around zero, a third walk looks at one in
    65,536 of them.

    Args:
        embeddings: As for `match_rates`, as are those below.
        labels: The labels of the queries.
        gallery_embeddings: The gallery; None for the queries themselves, each pair once.
        gallery_labels: Its labels.
        query_ids: Who does not see whom.
        gallery_ids: Who does not see whom.
        tile_size: Rows and columns of a tile, a positive multiple of 8.

    Attributes:
        order: The rows, sorted.
        is_symmetric: Whether there is no gallery.
        num_pairs: How many false pairs there are.

    Raises:
        TypeError: As for `match_rates`.
        ValueError: As for `match_rates`, but none where there is no pair.

    Example:
        >>> pairs = FalsePairs(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), ["mug", "cup", "jug"], tile_size=8)
        >>> pairs.num_pairs
        3
        >>> thresholds, num_matches = pairs.thresholds([1, 3])  # what at most one of 0, 0.6 and 0.8 reaches, and all
        >>> [round(threshold, 6) for threshold in thresholds], num_matches
        ([0.6, -inf], [1, 3])
    """

    def __init__(
        self,
        embeddings: torch.Tensor,
        labels: Identifiers,
        gallery_embeddings: torch.Tensor | None = None,
        gallery_labels: Identifiers | None = None,
        *,
        query_ids: Identifiers | None = None,
        gallery_ids: Identifiers | None = None,
        tile_size: int,
    ) -> None:
        self.order = checked_class_order(
            embeddings, labels, gallery_embeddings, gallery_labels, query_ids=query_ids, gallery_ids=gallery_ids
        )
        self.is_symmetric = gallery_embeddings is None
        self._tile_size = tile_size
        self._margin = float(self.order.margins.max())
        largest = float(row_norms(self.order.queries).max()) * float(row_norms(self.order.gallery).max())
        self._bound = largest * 1.001 or 1.0  # no float32 product lies beyond
        self._histogram = torch.zeros(_NUM_BINS, dtype=torch.int64, device=embeddings.device)
        for scores, _ in self._tiles():
            for part in torch.split(scores.flatten(), _HISTOGRAM_SIZE):  # what is hidden, -inf, lies in no bin
                self._histogram += torch.histc(part, _NUM_BINS, -self._bound, self._bound).long()
        self.num_pairs = int(self._histogram.sum())

    def thresholds(self, allowed: Sequence[int]) -> tuple[list[float], list[int]]:
        """Find the lowest score that no more than so many pairs reach.

        Args:
            allowed: For each threshold, how many pairs may be at or above it.

        Returns:
            The thresholds, float32 numbers, -inf where all pairs may match; and how many pairs reach each.
        """
        # The best score that must not be reached is the one after those that may.
        ranks = sorted({rank for rank in allowed if rank < self.num_pairs})
        found = dict(zip(ranks, self._order_statistics(ranks), strict=True))
        results = [(_to_score(found[rank][0] + 1), found[rank][1]) for rank in ranks]
        by_rank = dict(zip(ranks, results, strict=True))
        chosen = [by_rank.get(rank, (-math.inf, self.num_pairs)) for rank in allowed]
        return [threshold for threshold, _ in chosen], [matches for _, matches in chosen]

    def _order_statistics(self, ranks: list[int]) -> list[tuple[int, int]]:
        """Return, for ranks from 0 at the top, the key of the score at that rank, and how many scores are above it."""
        windows = [self._first_window(rank) for rank in ranks]
        results: dict[int, tuple[int, int]] = {}
        while len(results) < len(ranks):
            is_open = [place for place in range(len(ranks)) if place not in results]
            for place, (above, counts, shift) in zip(
                is_open, self._count_keys([windows[place] for place in is_open]), strict=True
            ):
                low, high = windows[place]
                bin_, num_above = _bin_of(counts, ranks[place] - above)
                start = low + (bin_ << shift)
                windows[place] = (start, min(start + (1 << shift) - 1, high))
                if shift == 0:
                    results[place] = (start, above + num_above)
        return [results[place] for place in range(len(ranks))]

    def _first_window(self, rank: int) -> tuple[int, int]:
        """Return the keys between which the exact score at a rank must lie, both included.

        Each product is within the margin of the exact score, and so is the product at a rank of the exact score there.
        """
        bin_, _ = _bin_of(self._histogram, rank)
        width = 2 * self._bound / _NUM_BINS
        low = -self._bound + (bin_ - 1) * width - self._margin  # a bin more on either side, for what is on an edge
        high = -self._bound + (bin_ + 2) * width + self._margin
        low_key, high_key = _to_keys(torch.tensor([low, high])).tolist()
        return low_key, high_key

    def _count_keys(self, windows: list[tuple[int, int]]) -> list[tuple[int, torch.Tensor, int]]:
        """Count the pairs above each window of keys, and those in it.

        Returns:
            For each window the number above, the counts of its bins, `(num_bins,)` int64, ascending, and how many bits
            of a key a bin does not tell apart.
        """
        shifts = [max(0, (high - low).bit_length() - (_MAX_KEYS - 1).bit_length()) for low, high in windows]
        device = self._histogram.device
        counts = [torch.zeros(_MAX_KEYS, dtype=torch.int64, device=device) for _ in windows]
        above = [0] * len(windows)
        edges = [(_to_score(low) - self._margin, _to_score(high) + self._margin) for low, high in windows]
        lowest = min(low for low, _ in edges)
        for scores, exact in self._tiles():
            row, column = true_positions(scores >= lowest)
            if not len(row):
                continue
            passed = scores[row, column]  # (num_passed,)
            is_doubtful = torch.zeros_like(passed, dtype=torch.bool)
            for low, high in edges:
                is_doubtful |= (passed >= low) & (passed <= high)
            _settle(passed, is_doubtful, row, column, exact, scores.numel())
            keys = _to_keys(passed)
            for place, (low_key, high_key) in enumerate(windows):
                above[place] += int((keys > high_key).sum())
                inside = keys[(keys >= low_key) & (keys <= high_key)] - low_key
                counts[place] += (inside >> shifts[place]).bincount(minlength=_MAX_KEYS)
        return list(zip(above, counts, shifts, strict=True))

    def _tiles(self) -> Iterator[tuple[torch.Tensor, ExactScores]]:
        """Walk the float32 products of all pairs, -inf where a pair is none or came before; one buffer for all."""
        order, size = self.order, self._tile_size
        buffer = torch.empty(size * size, device=order.queries.device)
        for start in range(0, order.num_queries, size):
            stop = min(start + size, order.num_queries)
            for first in range(start if self.is_symmetric else 0, order.num_gallery, size):
                last = min(first + size, order.num_gallery)
                if order.is_all_positive(start, stop, first, last):
                    continue
                width = last - first + (first - last) % 8
                scores = buffer[: (stop - start) * width].view(stop - start, width)
                block, items = order.queries[start:stop], order.gallery[first : first + width]
                inner_products(block, items, out=scores)
                order.hide(scores, start, stop, first, last)
                if self.is_symmetric and first == start:
                    scores.masked_fill_(torch.ones_like(scores, dtype=torch.bool).tril_(), -torch.inf)
                yield scores, ExactScores(block, items)


def _settle(
    passed: torch.Tensor,
    is_doubtful: torch.Tensor,
    row: torch.Tensor,
    column: torch.Tensor,
    exact: ExactScores,
    num_scores: int,
) -> None:
    """Replace the products that are too close to a window to tell by their exact scores, in place."""
    num_doubtful = int(is_doubtful.sum())
    if num_doubtful > _MAX_DOUBTFUL * num_scores:
        passed[is_doubtful] = exact.of_rows()[row[is_doubtful], column[is_doubtful]]
    elif num_doubtful:
        passed[is_doubtful] = exact.of_pairs(row[is_doubtful], column[is_doubtful])


def _bin_of(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """Return the bin of ascending counts that holds a rank from the top, and how many are in the bins above it."""
    reached = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(reached, rank, right=True))
    return len(counts) - 1 - place, int(reached[place - 1]) if place else 0


def _to_keys(scores: torch.Tensor) -> torch.Tensor:
    """Number float32 scores in their order: neighbours differ by 1, and both zeros are 0; int64.

    Example:
        >>> _to_keys(torch.tensor([-1e-45, -0.0, 0.0, 1e-45]))
        tensor([-2,  0,  0,  1])
    """
    bits = (scores + 0.0).view(torch.int32).long()  # adding zero makes -0.0 the other zero
    return torch.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)


def _to_score(key: int) -> float:
    """Return the float32 score of a key."""
    bits = key if key >= 0 else -key - 1 - 2**31
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
