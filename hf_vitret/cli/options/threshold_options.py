"""From which score on an image is a match: the same options in search and serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...indexing.image_index import ImageIndex


def add_threshold_options(parser: ArgumentParser) -> Any:
    """Add the options; return their group, for further ones."""
    group = parser.add_argument_group("match")
    group.add_argument("--min_score", type=float, help="images that score less are no match")
    group.add_argument("--false_match_rate", type=float, help="the same, by the score measured for this rate")
    return group


def lowest_score(options: Namespace, index: ImageIndex) -> float | None:
    """Return the score from which on an image is a match; `None` where all are.

    Args:
        options: As read: those of `add_threshold_options`, and `calibration`, `expand`, `rerank` and `map` where the
            command has them.
        index: Whose match rates are taken where no file is named.

    Raises:
        ValueError: Options do not go together, or no threshold was measured for the rate.
    """
    from ...indexing.match_threshold import load_match_rates, threshold_at

    calibration = getattr(options, "calibration", None)
    if options.min_score is None and options.false_match_rate is None:
        if calibration:
            raise ValueError("expected --false_match_rate with --calibration: it chooses one of its thresholds")
        return None
    if options.min_score is not None and options.false_match_rate is not None:
        raise ValueError("expected --min_score or --false_match_rate; got both: leave one out")
    if getattr(options, "expand", None) is not None or getattr(options, "rerank", False):
        raise ValueError(
            "expected no threshold with --expand or --rerank, whose scores are on other scales: leave one out"
        )
    if options.min_score is not None:
        return float(options.min_score)
    if getattr(options, "map", None):
        raise ValueError("expected --min_score with --map: no threshold was measured for its scores")
    known = index.manifest
    rates = load_match_rates(calibration, known.model) if calibration else known.match_rates
    if rates is None:
        raise ValueError(
            "expected an index with match rates: it has none. Give --calibration, what hf-vitret evaluate "
            "--false_match_rates wrote, to hf-vitret index; or give --min_score here"
        )
    return threshold_at(rates, options.false_match_rate)
