"""Metrics of the server in the text format of Prometheus: requests, search times and batch sizes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """A histogram with cumulative counts of the values up to each bound.

    Args:
        bounds: The upper bounds of the buckets, ascending.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of the samples under the name of a metric."""
        total = 0
        for bound, count in zip((*map(repr, map(float, self._bounds)), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {total}"


class Metrics:
    """Thread-safe counters of requests, search times and batch sizes since the server started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = Histogram(SECONDS)
        self._batches = Histogram(BATCH_SIZES)

    def add_request(self, path: str, status: int, seconds: float | None) -> None:
        """Count a request.

        Args:
            path: The path as a label of the metric, one of a fixed set, because each value stays in memory.
            status: The HTTP status of the answer.
            seconds: The time to the answer; `None` leaves it out of the histogram.
        """
        with self._lock:
            self._requests[path, status] += 1
            if seconds is not None:
                self._seconds.add(seconds)

    def add_batch(self, num_images: int) -> None:
        """Count a batch that the model embedded."""
        with self._lock:
            self._batches.add(num_images)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all metrics as text.

        Args:
            gauges: Further metrics of the present state: name -> description in one line, and value.
        """
        with self._lock:
            lines = [
                *_head("hf_vitret_requests_total", "counter", "Requests that were answered."),
                *(
                    f'hf_vitret_requests_total{{path="{path}",status="{status}"}} {count}'
                    for (path, status), count in sorted(self._requests.items())
                ),
                *_head("hf_vitret_search_seconds", "histogram", "Time from the first byte of a search to its answer."),
                *self._seconds.lines("hf_vitret_search_seconds"),
                *_head("hf_vitret_batch_images", "histogram", "Images embedded together."),
                *self._batches.lines("hf_vitret_batch_images"),
            ]
        for name, (text, value) in gauges.items():
            lines += [*_head(name, "gauge", text), f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
