"""Average precision and precision at k of one query, by the rules of the revisited benchmarks."""

from __future__ import annotations

import numpy as np

from hf_vitret.evaluation.revisited.labelled_images import Integers


def trapezoidal_average_precision(ranks: Integers, num_positives: int) -> float:
    """Compute the area under precision over recall, with a trapezoid between the ranks before and at each positive.

    Args:
        ranks: `(num_found,)` int64, 0-based ranks of the positives that were found, ascending; junk images are not
            counted.
        num_positives: Number of all positives, at least 1. A positive that was not found adds nothing.

    Returns:
        The average precision, from 0 to 1.

    Reference:
        Philbin et al., CVPR 2007; Radenovic et al., arXiv 1803.11285, section 5. `sum_j (p0 + p1) / 2R`, where for the
        j-th positive, of rank r and counted from 0, `p0 = j / r` (1 for r = 0) and `p1 = (j + 1) / (r + 1)`.

    Example:
        >>> round(trapezoidal_average_precision(np.array([4, 5, 6]), num_positives=3), 4)  # mean of precisions: 0.3206
        0.2492
    """
    num_ahead = np.arange(len(ranks))
    before = np.divide(num_ahead, ranks, out=np.ones(len(ranks)), where=ranks > 0)
    at = (num_ahead + 1) / (ranks + 1)
    return float((before + at).sum() / (2 * num_positives))


def shrinking_precision_at_k(ranks: Integers, num_positives: int, k: int) -> float:
    """Compute the share of positives among the first k images, or up to the last positive if that comes earlier.

    Args:
        ranks: `(num_found,)` int64, 0-based ranks of the positives that were found, ascending; junk images are not
            counted.
        num_positives: Number of all positives, at least 1. If one of them was not found, the divisor is k.
        k: The cut-off, at least 1.

    Returns:
        The precision, from 0 to 1; 1 for any k if the only positive of a query ranks first.

    Reference:
        The authors' `compute_map`, whose denominator is `min(max(pos), kappa)`.

    Example:
        >>> shrinking_precision_at_k(np.array([0, 2]), 2, k=10), shrinking_precision_at_k(np.array([0, 2]), 3, k=10)
        (0.6666666666666666, 0.2)
    """
    length = k
    if len(ranks) == num_positives:
        length = min(k, int(ranks[-1]) + 1)
    return float((ranks < length).sum() / length)
