"""Threads for what would hold up the event loop, with nothing queued in front of them but waiting requests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class ThreadSlots:
    """Runs functions in so many threads; a request that gives up while it waits leaves nothing behind.

    A thread pool alone would keep what was given up, an upload among its arguments, until a thread is free. Made inside
    a running event loop.

    Args:
        num_threads: Functions that run at once.
    """

    def __init__(self, num_threads: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads)
        self._free = asyncio.Semaphore(num_threads)
        self._loop = asyncio.get_running_loop()

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Wait for a thread, and for the function in it.

        Raises:
            Exception: What the function raises.
        """
        await self._free.acquire()
        future = self._threads.submit(function, *arguments)
        # Not when the wait for it ends, which may be given up: when the thread is free again.
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._free.release))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._threads.shutdown()
