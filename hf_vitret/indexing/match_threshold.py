"""Read match rates from a file, and find the score threshold for a false-match rate."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..embedding.model_identity import ModelIdentity
from ..evaluation.matching.match_rates import MatchRate, MatchRates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

KEY = "match_rates"


def load_match_rates(path: str | PathLike[str], model: ModelIdentity | None = None) -> MatchRates:
    """Read the rates that `match_rates` measured from a JSON file.

    Args:
        path: A file with `dataclasses.asdict` of the rates, alone or in the field `match_rates` of a report, as
            `hf-vitret evaluate --false_match_rates` writes it.
        model: The model that the rates must belong to, if the file names its model. None: not checked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file has no rates, or those of another model.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rates, made_by = match_rates_of_json(content.get(KEY, content)), content.get("model")
        measured = ModelIdentity(**made_by) if isinstance(made_by, dict) else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected the rates of match_rates in {path}, as JSON with rates, num_true_pairs and num_false_pairs; got "
            f"something else ({type(error).__name__}: {error})"
        ) from error
    differences = [] if model is None or measured is None else model.difference(measured)
    if differences:
        raise ValueError(
            f"expected match rates of the index's model; {path} has those of another one: {'; '.join(differences)}. "
            "Measure them with hf-vitret evaluate --false_match_rates"
        )
    return rates


def match_rates_of_json(content: Mapping[str, Any]) -> MatchRates:
    """Convert rates from JSON, in which NaN is null and an infinite threshold is a string or null.

    Raises:
        KeyError: A field is missing.
        TypeError: A field has another type.
    """
    rates = tuple(
        MatchRate(
            float(rate["false_match_rate"]),
            # The only threshold that is not a number is the one with which everything matches.
            -math.inf if rate["threshold"] is None else float(rate["threshold"]),
            math.nan if rate["true_match_rate"] is None else float(rate["true_match_rate"]),
            int(rate["num_false_matches"]),
        )
        for rate in content["rates"]
    )
    return MatchRates(rates, int(content["num_true_pairs"]), int(content["num_false_pairs"]))


def threshold_at(rates: MatchRates, false_match_rate: float) -> float:
    """Return the score threshold that was measured for a false-match rate.

    Raises:
        ValueError: No threshold was measured for this rate; the message names the rates that were.

    Example:
        >>> threshold_at(MatchRates((MatchRate(1e-4, 0.61, 0.9, 3),), 10, 30_000), 1e-4)
        0.61
    """
    for rate in rates.rates:
        if math.isclose(rate.false_match_rate, false_match_rate, rel_tol=1e-9):
            return rate.threshold
    known = ", ".join(f"{rate.false_match_rate:g}" for rate in rates.rates)
    raise ValueError(
        f"expected a false-match rate that was measured, {known or 'of which there is none'}; got {false_match_rate:g}"
    )
