"""A function applied by threads, its results in order, and never many items in memory."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    Args:
        function: Lets go of the interpreter's lock for most of its time, as Pillow's decoders and file reads do.
        items: Taken a few ahead of what was yielded: `4 * num_threads`, enough to keep the threads busy.
        num_threads: Default: `default_threads`.

    Raises:
        Exception: What the function raises, at its item.
    """
    num_threads = num_threads or default_threads()
    waiting: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(num_threads)
    try:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) > 4 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def default_threads() -> int:
    """Return how many threads read and decode by default: one per CPU, 16 at most, above which a disk is the limit."""
    return min(16, os.cpu_count() or 1)
