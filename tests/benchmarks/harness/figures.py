"""What a benchmark measured, as data beside its text."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES_FILE = "BENCHMARK_FIGURES"  # the environment variable that names the file to write to


@dataclass(frozen=True)
class Figure:
    """One result, and what stands beside it.

    Attributes:
        name: What was measured.
        value: Ours; the median where it was repeated.
        unit: Of `value`, `low`, `high` and `peer_value`; empty for a number without one.
        low: Lower end of the spread of the repeats; `None` where there were none.
        high: Upper end.
        spread: What the ends are: `range` (the least and the most) or `quartiles`.
        peer: Another program, or a limit that none can pass, measured in the same run.
        peer_value: Its own; the median where it was repeated.
        ratio: Of ours to the peer's, or of the peer's seconds to ours where the benchmark says how many times as fast.
        bar: What is asked: of `ratio` where there is one, else of `value`.
        larger_is_better: Whether the bar is the least that is asked, rather than the most.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    spread: str = "range"
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    bar: float | None = None
    larger_is_better: bool = False

    @classmethod
    def of_repeats(cls, name: str, values: Sequence[float], unit: str = "", **others: Any) -> Figure:
        """Take the median and the range of repeats; no range where there is one alone."""
        low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
        return cls(name, statistics.median(values), unit, low, high, **others)

    @classmethod
    def of_rate(cls, name: str, amount: float, seconds: Sequence[float], unit: str, **others: Any) -> Figure:
        """Take so much a second, of the repeats' median and range."""
        low, high = (amount / max(seconds), amount / min(seconds)) if len(seconds) > 1 else (None, None)
        return cls(name, amount / statistics.median(seconds), unit, low, high, larger_is_better=True, **others)

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; `None` where there is no bar."""
        if self.bar is None:
            return None
        asked = self.value if self.ratio is None else self.ratio
        return asked >= self.bar if self.larger_is_better else asked <= self.bar


def record(*figures: Figure, seed: int | None = None) -> None:
    """Append figures to the file that the environment names, one line of JSON each; do nothing where it names none.

    Args:
        figures: What was measured.
        seed: Of the images, vectors or moments that were drawn for them, the first of several; `None` where nothing
            was drawn, or by no seed.
    """
    if FIGURES_FILE not in os.environ:
        return
    with Path(os.environ[FIGURES_FILE]).open("a", encoding="utf-8") as lines:
        for figure in figures:
            facts = {**dataclasses.asdict(figure), "is_met": figure.is_met, "seed": seed}
            lines.write(json.dumps(facts, allow_nan=False) + "\n")
