"""A thread pool for blocking functions of an asyncio app that drops the arguments of cancelled calls at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class ThreadSlots:
    """Run functions in a fixed number of threads; a call that is cancelled while it waits frees its arguments at once.

    The queue of a plain thread pool would keep a cancelled call and its arguments, such as an upload, until a thread is
    free. An instance must be created inside a running event loop.

    Args:
        num_threads: Number of functions that run at the same time.
    """

    def __init__(self, num_threads: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads)
        self._free = asyncio.Semaphore(num_threads)
        self._loop = asyncio.get_running_loop()

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Wait for a free thread, and run a function in it.

        Args:
            function: The function.
            *arguments: Its arguments.

        Returns:
            The result of the function.

        Raises:
            Exception: The error of the function.
        """
        await self._free.acquire()
        future = self._threads.submit(function, *arguments)
        # Released when the thread is free, which may be later than the end of a cancelled call.
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._free.release))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for the running functions, and end the threads."""
        self._threads.shutdown()
