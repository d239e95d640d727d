"""The options for the lowest score of a match, the same in search and serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...indexing.image_index import ImageIndex


def add_threshold_options(parser: ArgumentParser) -> Any:
    """Add the options, and return their argument group for further options."""
    group = parser.add_argument_group("match")
    group.add_argument("--min_score", type=float, help="lowest score of a match; images that score less are left out")
    group.add_argument(
        "--false_match_rate", type=float, help="use the lowest score that was measured for this false-match rate"
    )
    return group


def lowest_score(options: Namespace, index: ImageIndex) -> float | None:
    """Return the lowest score of a match, or `None` if every image is a match.

    Args:
        options: Parsed options of `add_threshold_options`; and `calibration`, `expand`, `rerank` and `map` if the
            command has them.
        index: The index whose match rates are used without `--calibration`.

    Raises:
        ValueError: Two options contradict each other, or no score was measured for the false-match rate.
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
            "expected an index with match rates; this one has none. Build it with hf-vitret index --calibration and "
            "the match_rates.json that hf-vitret evaluate --false_match_rates writes, or give --min_score here"
        )
    return threshold_at(rates, options.false_match_rate)
