"""`FalsePairs`: exact order statistics of the scores of all pairs with different labels, found by counting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.exact_scores import ExactScores, row_norms
from hf_vitret.search.entry_positions import true_positions
from hf_vitret.search.exact_codes import Identifiers
from hf_vitret.search.inner_products import inner_products

# Number of bins of the first histogram. With 32,768 bins over the cosines, a bin is 2.6 times as wide as the largest
# error of a float32 product (384 dimensions). That is narrow enough for one more pass to be enough, unless the score is
# close to zero.
_NUM_BINS = 32_768
# Largest number of float32 values that are distinguished in one pass: the counts of five windows are 3 MB.
_MAX_KEYS = 1 << 16
# torch.histc counts in float32, which is exact up to 2**24.
_HISTOGRAM_SIZE = 1 << 22
# If more than this share of the scores of a tile may need their exact value, all of them are computed in float64, which
# costs less.
_MAX_DOUBTFUL = 0.02


class FalsePairs:
    """The pairs of a query and a gallery item with different labels.

    Their scores are computed tile by tile, in several blockwise passes, and never stored. The first pass makes a
    histogram of float32 products, which gives the window that contains an order statistic. The second pass counts the
    exact scores in that window. If the window contains more than 65,536 different float32 numbers, as around zero, a
    bin of the second pass holds many of them, and a third pass counts in the bin that contains the order statistic.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries.
        labels: `(num_queries,)` integers or strings, the class of each query.
        gallery_embeddings: `(num_gallery, dim)` float. `None`: all pairs of two different items of `embeddings`, each
            once.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)` integers, strings or tuples. A query and a gallery item with the same id are not a
            pair.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither, and only with a gallery.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8.

    Attributes:
        order: The sorted queries and gallery.
        is_symmetric: Whether there is no gallery.
        num_pairs: Number of false pairs, which may be 0.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats.
        ValueError: Shapes do not match, an embedding is NaN or infinite, or labels or ids come without their
            counterpart.

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
        self._bound = largest * 1.001 or 1.0  # no float32 product is larger
        self._histogram = torch.zeros(_NUM_BINS, dtype=torch.int64, device=embeddings.device)
        for scores, _ in self._tiles():
            for part in torch.split(scores.flatten(), _HISTOGRAM_SIZE):  # -inf is in no bin
                self._histogram += torch.histc(part, _NUM_BINS, -self._bound, self._bound).long()
        self.num_pairs = int(self._histogram.sum())

    def thresholds(self, allowed: Sequence[int]) -> tuple[list[float], list[int]]:
        """Find the lowest score that at most a given number of pairs reaches.

        Args:
            allowed: For each threshold, the number of pairs that may be at or above it.

        Returns:
            The thresholds, float32 numbers, -inf if all pairs may match; and the number of pairs at or above each.
        """
        # The threshold is just above the score of the first pair that must not match.
        ranks = sorted({rank for rank in allowed if rank < self.num_pairs})
        found = dict(zip(ranks, self._order_statistics(ranks), strict=True))
        results = [(_to_score(found[rank][0] + 1), found[rank][1]) for rank in ranks]
        by_rank = dict(zip(ranks, results, strict=True))
        chosen = [by_rank.get(rank, (-math.inf, self.num_pairs)) for rank in allowed]
        return [threshold for threshold, _ in chosen], [matches for _, matches in chosen]

    def _order_statistics(self, ranks: list[int]) -> list[tuple[int, int]]:
        """Return for each rank (0 is the top) the key of the score at that rank, and the number of scores above it."""
        windows = [self._first_window(rank) for rank in ranks]
        results: dict[int, tuple[int, int]] = {}
        while len(results) < len(ranks):
            is_open = [number for number in range(len(ranks)) if number not in results]
            for number, (above, counts, shift) in zip(
                is_open, self._count_keys([windows[number] for number in is_open]), strict=True
            ):
                low, high = windows[number]
                bin_, num_above = _bin_of(counts, ranks[number] - above)
                start = low + (bin_ << shift)
                windows[number] = (start, min(start + (1 << shift) - 1, high))
                if shift == 0:
                    results[number] = (start, above + num_above)
        return [results[number] for number in range(len(ranks))]

    def _first_window(self, rank: int) -> tuple[int, int]:
        """Return the lowest and the highest key that the exact score at a rank may have.

        Each product is within the margin of its exact score, so the product at a rank is within the margin of the exact
        score at that rank.
        """
        bin_, _ = _bin_of(self._histogram, rank)
        width = 2 * self._bound / _NUM_BINS
        low = -self._bound + (bin_ - 1) * width - self._margin  # one more bin on either side, for scores on an edge
        high = -self._bound + (bin_ + 2) * width + self._margin
        low_key, high_key = _to_keys(torch.tensor([low, high])).tolist()
        return low_key, high_key

    def _count_keys(self, windows: list[tuple[int, int]]) -> list[tuple[int, torch.Tensor, int]]:
        """Count the pairs above each window of keys, and the pairs in it by bin.

        Returns:
            For each window: the number of pairs above it; the counts of its bins, `(num_bins,)` int64, ascending; and
            the number of low bits of a key that a bin does not distinguish.
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
            for number, (low_key, high_key) in enumerate(windows):
                above[number] += int((keys > high_key).sum())
                inside = keys[(keys >= low_key) & (keys <= high_key)] - low_key
                counts[number] += (inside >> shifts[number]).bincount(minlength=_MAX_KEYS)
        return list(zip(above, counts, shifts, strict=True))

    def _tiles(self) -> Iterator[tuple[torch.Tensor, ExactScores]]:
        """Yield the float32 products of all pairs in one reused buffer, tile by tile, and the exact scores of the tile.

        An entry that is no pair, or a pair that another entry stands for, is -inf.
        """
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
    """Replace the products that are too close to a window to decide by their exact scores, in place."""
    num_doubtful = int(is_doubtful.sum())
    if num_doubtful > _MAX_DOUBTFUL * num_scores:
        passed[is_doubtful] = exact.of_rows()[row[is_doubtful], column[is_doubtful]]
    elif num_doubtful:
        passed[is_doubtful] = exact.of_pairs(row[is_doubtful], column[is_doubtful])


def _bin_of(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """Return the bin of ascending counts that contains a rank from the top, and the total of the bins above it."""
    reached = counts.flip(0).cumsum(0)
    from_top = int(torch.searchsorted(reached, rank, right=True))
    return len(counts) - 1 - from_top, int(reached[from_top - 1]) if from_top else 0


def _to_keys(scores: torch.Tensor) -> torch.Tensor:
    """Number float32 scores in their order, as int64: neighbouring values differ by 1, and both zeros are 0.

    Example:
        >>> _to_keys(torch.tensor([-1e-45, -0.0, 0.0, 1e-45]))
        tensor([-2,  0,  0,  1])
    """
    bits = (scores + 0.0).view(torch.int32).long()  # adding zero makes -0.0 the other zero
    return torch.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)


def _to_score(key: int) -> float:
    """Return the float32 score with this key."""
    bits = key if key >= 0 else -key - 1 - 2**31
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
