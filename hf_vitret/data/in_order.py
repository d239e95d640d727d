"""Apply a function with threads, and yield the results in order, with few items in memory."""

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
        function: A function that releases the interpreter's lock for most of its time, such as a decoder of Pillow or
            the reading of a file.
        items: The items. They are taken up to `4 * num_threads` ahead of the yielded one, which keeps the threads busy.
        num_threads: Number of threads; `None`: `default_threads()`.

    Yields:
        The result for each item, in the order of the items.

    Raises:
        Exception: The exception of `function`, when the result of its item is due.
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
    """Return the default number of reading threads: one per CPU, at most 16, because more are limited by the disk."""
    return min(16, os.cpu_count() or 1)
