"""The share of a training run's time that is spent waiting for batches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class DataWait:
    """Measure the time spent reading batches, as a share of the time since the last report and since the first batch.

    The clock is that of this process. A GPU may still be computing while the process waits, and then the wait costs
    nothing. The share is therefore an upper bound of the time that faster reading could save.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._since = 0.0
        self._total_wait = self._recent_wait = 0.0

    @contextmanager
    def of_batch(self) -> Iterator[None]:
        """Time the reading of one batch inside the `with` block; the first one starts the clock."""
        begun = time.perf_counter()
        if self._start is None:
            self._start = self._since = begun
        try:
            yield
        finally:
            waited = time.perf_counter() - begun
            self._total_wait += waited
            self._recent_wait += waited

    def recent_share(self) -> float:
        """Return the share of the time since the last call that was spent waiting, 0 to 1, and start a new interval."""
        now = time.perf_counter()
        share = _share(self._recent_wait, now - self._since)
        self._since, self._recent_wait = now, 0.0
        return share

    def share(self) -> float:
        """Return the share of the time since the first batch was requested that was spent waiting, 0 to 1."""
        return 0.0 if self._start is None else _share(self._total_wait, time.perf_counter() - self._start)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
