"""`match_rates`: score thresholds for given false-match rates, and the true-match rates that they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from hf_vitret.evaluation.matching.false_pairs import FalsePairs
from hf_vitret.evaluation.ranking.ranked_block import query_blocks
from hf_vitret.evaluation.ranking.tiles import check_tile_size
from hf_vitret.search.exact_codes import Identifiers

DEFAULT_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True)
class MatchRate:
    """A threshold and its rates: two images match if their score is at or above the threshold.

    Attributes:
        false_match_rate: The share of false pairs that may match, as requested.
        threshold: The lowest float32 score that satisfies this rate; -inf if every pair may match.
        true_match_rate: Share of the true pairs that match; nan if there are none.
        num_false_matches: Number of false pairs that match. It is less than the rate allows if several false pairs tie
            at the threshold, and 0 if the rate times the number of false pairs is below 1; the threshold is then not a
            reliable estimate.
    """

    false_match_rate: float
    threshold: float
    true_match_rate: float
    num_false_matches: int


@dataclass(frozen=True)
class MatchRates:
    """Thresholds and their rates, in the order of the requested false-match rates.

    Attributes:
        rates: One `MatchRate` for each false-match rate.
        num_true_pairs: Number of pairs of a query and a gallery item with the same label; without a gallery, each pair
            counts once.
        num_false_pairs: Number of pairs with different labels.
    """

    rates: tuple[MatchRate, ...]
    num_true_pairs: int
    num_false_pairs: int

    def table(self) -> str:
        """Return the rates as a text table, one rate on each line."""
        lines = [f"{'false-match rate':>16}{'threshold':>12}{'true-match rate':>17}{'false matches':>15}"]
        lines += [
            f"{rate.false_match_rate:>16g}{rate.threshold:>12.6f}{rate.true_match_rate:>17.4f}"
            f"{rate.num_false_matches:>15,}"
            for rate in self.rates
        ]
        return "\n".join([*lines, f"{self.num_true_pairs:,} true pairs, {self.num_false_pairs:,} false pairs"])


@torch.no_grad()
def match_rates(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    false_match_rates: Sequence[float] = DEFAULT_RATES,
    tile_size: int | None = None,
) -> MatchRates:
    """Find the score threshold for each false-match rate, and the share of true pairs that match at this threshold.

    A search can answer "no match" with such a threshold: it shows only the items that score at or above it. A pair is a
    query and a gallery item; it is true if their labels are equal, and false otherwise. The rates are over all pairs,
    so that large classes count more. The figures are exact: the threshold is an order statistic of the scores of all
    false pairs, found by counting, without sampling or binning. Scores are inner products in float64, rounded to
    float32, so that they are the same for every tile size and device.

    Ties are pessimistic: a false pair whose score equals the threshold matches. If several false pairs tie at the score
    where the rate is used up, the threshold is above all of them, and true pairs with that score do not match.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries, on CPU or CUDA. Scores are inner products
            of the rows as given.
        labels: `(num_queries,)` integers or strings, the class of each query. Floats are refused.
        gallery_embeddings: `(num_gallery, dim)` float, the embeddings of the gallery. `None`: all pairs of two
            different items of `embeddings`, each once.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`. Required with `gallery_embeddings`, refused
            without it.
        query_ids: `(num_queries,)` integers, strings or tuples. A query and a gallery item with the same id are not a
            pair. `None` leaves no pair out.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Required with `query_ids`, and only with a
            gallery.
        false_match_rates: Shares of the false pairs that may match, each in [0, 1].
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. `None` takes 1,024 on a CPU and 8,192
            on CUDA. The results do not depend on it.

    Returns:
        The thresholds with their true-match rates, and the numbers of pairs.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats or of different kinds in queries and gallery.
        ValueError: There is no false pair, a rate is outside [0, 1], shapes do not match, an embedding is NaN or
            infinite, labels or ids come without their counterpart or without a gallery, or the tile size is not a
            multiple of 8.

    Reference:
        ISO/IEC 19795-1:2021, where 1 minus the true-match rate is the false non-match rate.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> rates = match_rates(embeddings, ["mug", "mug", "cup", "cup", "jug"], false_match_rates=[0.25, 0.5])
        >>> print(rates.table())
        false-match rate   threshold  true-match rate  false matches
                    0.25    0.800000           1.0000              1
                     0.5    0.600000           1.0000              4
        2 true pairs, 8 false pairs
    """
    wrong = [rate for rate in false_match_rates if not 0 <= rate <= 1]
    if wrong:
        raise ValueError(f"false_match_rates must lie in [0, 1], got {wrong[0]}. Pass 1e-6 for one in a million.")
    tile_size = check_tile_size(tile_size, embeddings.device)
    pairs = FalsePairs(
        embeddings,
        labels,
        gallery_embeddings,
        gallery_labels,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        tile_size=tile_size,
    )
    if pairs.num_pairs == 0:
        raise ValueError(
            "there must be two items of different labels to compare, got none. Pass items of more than one class."
        )
    # Each rate is taken as the decimal number that was written: 0.29 of 100 pairs are 29, but the float 0.29 times 100
    # is 28.99...
    allowed = [math.floor(Fraction(str(float(rate))) * pairs.num_pairs) for rate in false_match_rates]
    thresholds, num_false = pairs.thresholds(allowed)
    num_true, num_pairs = _true_matches(pairs, thresholds, tile_size)
    found = zip(false_match_rates, thresholds, num_true, num_false, strict=True)
    return MatchRates(
        tuple(
            MatchRate(float(rate), threshold, true / num_pairs if num_pairs else math.nan, false)
            for rate, threshold, true, false in found
        ),
        num_pairs,
        pairs.num_pairs,
    )


def _true_matches(pairs: FalsePairs, thresholds: Sequence[float], tile_size: int) -> tuple[list[int], int]:
    """Count the true pairs at or above each threshold, and all true pairs."""
    order = pairs.order
    num_matches, num_pairs = [0] * len(thresholds), 0
    for start, stop in query_blocks(order.num_queries, tile_size, order.width):
        scores, num_positives = order.positive_scores(start, stop, tolerance=0.0)  # (block, width)
        scores = scores[scores > -torch.inf]
        num_pairs += int(num_positives.sum())
        for number, threshold in enumerate(thresholds):
            num_matches[number] += int((scores >= threshold).sum())
    times = 2 if pairs.is_symmetric else 1  # without a gallery, each pair was counted from both sides
    return [matches // times for matches in num_matches], num_pairs // times
