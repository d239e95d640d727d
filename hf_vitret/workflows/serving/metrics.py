"""Counts and times of a server, in the text that Prometheus reads."""

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
    """How often values up to each bound were seen.

    Args:
        bounds: Ascending.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Write the samples."""
        total = 0
        for bound, count in zip((*map(repr, map(float, self._bounds)), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {total}"


class Metrics:
    """What has happened since the server started; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = Histogram(SECONDS)
        self._batches = Histogram(BATCH_SIZES)

    def add_request(self, path: str, status: int, seconds: float | None) -> None:
        """Count a request.

        Args:
            path: One of a few: each is kept for ever.
            status: Of the answer.
            seconds: It took; None: not noted.
        """
        with self._lock:
            self._requests[path, status] += 1
            if seconds is not None:
                self._seconds.add(seconds)

    def add_batch(self, num_images: int) -> None:
        """Count a step of the model."""
        with self._lock:
            self._batches.add(num_images)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Write all of it.

        Args:
            gauges: What is so at this moment: by name, a description in one line and the value.
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
