"""The number of functions that run at once is limited, and cancelled calls do not keep their arguments."""

import asyncio
import gc
import threading
import weakref

from hf_vitret.workflows.serving.thread_slots import ThreadSlots


class Upload:
    """An object whose deletion a weak reference shows."""


def test_no_more_run_at_once_than_there_are_slots_and_each_gives_its_result() -> None:
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1
        return number * number

    async def main() -> list[int]:
        slots = ThreadSlots(2)
        results = await asyncio.gather(*(slots.run(work, number) for number in range(10)))
        slots.close()
        return results

    assert asyncio.run(main()) == [number * number for number in range(10)]
    assert most == 2


def test_a_wait_that_was_given_up_keeps_nothing_and_a_busy_thread_keeps_its_slot() -> None:
    release = threading.Event()

    async def main() -> None:
        slots = ThreadSlots(1)
        busy = asyncio.ensure_future(slots.run(release.wait, 10))
        await asyncio.sleep(0.01)
        upload = Upload()
        seen = weakref.ref(upload)
        waiting = asyncio.ensure_future(slots.run(id, upload))
        del upload
        await asyncio.sleep(0.01)
        waiting.cancel()
        busy.cancel()  # the function in the thread goes on
        await asyncio.gather(busy, waiting, return_exceptions=True)
        del waiting
        await asyncio.sleep(0.01)  # the event loop drops its references to the tasks
        gc.collect()
        assert seen() is None
        later = asyncio.ensure_future(slots.run(int, "7"))
        await asyncio.sleep(0.02)
        assert not later.done()
        assert slots._free.locked()
        release.set()
        assert await later == 7
        slots.close()

    asyncio.run(main())
