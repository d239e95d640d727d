"""From which score on a search may say that it found something: a threshold at a false-match rate, from a file."""

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
    """Read the rates that `match_rates` found, from JSON.

    Args:
        path: A file with `dataclasses.asdict` of them, alone or under the name `match_rates` in a larger report, as
            `hf-vitret evaluate --false_match_rates` writes it.
        model: That the rates are for: those of another model are refused, where the file says whose they are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no rates, or those of another model.
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
    """Turn JSON into rates: null is nan, and infinite numbers are strings or null where a threshold is.

    Raises:
        KeyError: A field is missing.
        TypeError: A field is something else.
    """
    rates = tuple(
        MatchRate(
            float(rate["false_match_rate"]),
            # The only threshold that is no number is the one that lets everything match.
            -math.inf if rate["threshold"] is None else float(rate["threshold"]),
            math.nan if rate["true_match_rate"] is None else float(rate["true_match_rate"]),
            int(rate["num_false_matches"]),
        )
        for rate in content["rates"]
    )
    return MatchRates(rates, int(content["num_true_pairs"]), int(content["num_false_pairs"]))


def threshold_at(rates: MatchRates, false_match_rate: float) -> float:
    """Return the threshold that was found for a false-match rate.

    Raises:
        ValueError: None was; the message names those that were.

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
