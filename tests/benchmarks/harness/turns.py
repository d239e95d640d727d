"""Programs that do one step each in turn, so that a machine whose speed drifts is the same for all of them.

Each runs in a process of its own: its memory, its threads and its random numbers do not meet those of the others.
glibc is told to keep the memory that a step frees, in all of them: else pages go back to the kernel and are cleared
again in every step, more or fewer as the sizes fall, and virtual machines make that dear.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from .resident import MIB, resident

WARM_UP = 3
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}


class Turn:
    """One program's place in the round: it says when a step is done, and goes on when it is its turn again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begin = 0.0

    def wait(self) -> None:
        """Wait for the turn, and start the clock."""
        self._connection.recv()
        self._begin = time.perf_counter()

    def step_done(self) -> None:
        """Report how long the step has taken, and wait for the next turn."""
        self._connection.send(time.perf_counter() - self._begin)
        self.wait()


@dataclass(frozen=True)
class Measured:
    """What one program took.

    Attributes:
        seconds: Of each step.
        peak: Largest resident size of its process in MiB, with all that it has imported, without its workers' own.
    """

    seconds: list[float]
    peak: float


def take_turns(programs: Mapping[str, Callable[..., None]], steps: int, *args: Any) -> dict[str, Measured]:
    """Run the programs step by step in turn. Linux only.

    Args:
        programs: By name, a function of a module: it gets a `Turn` and `args`, and calls `step_done` after each of
            at least `steps` steps. What it does before the first counts as part of the first step.
        steps: Steps of each, of which the first `WARM_UP` are left out.
        *args: Further arguments of each, picklable.

    Returns:
        By name, what each took; steps of one place in the lists ran right after one another.

    Raises:
        EOFError: A program ended early; its own error is printed above.
    """
    os.environ.update(KEEP_MEMORY)  # read at the start of a process
    context = multiprocessing.get_context("spawn")
    connections: dict[str, Connection] = {}
    processes = {}
    for name, program in programs.items():
        connections[name], theirs = context.Pipe()
        process = context.Process(target=_run, args=(program, theirs, *args), daemon=True)
        process.start()
        theirs.close()
        processes[name] = process
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(steps):
        for name, connection in connections.items():
            connection.send(None)
            seconds[name].append(connection.recv())
    peaks = {name: resident("VmHWM", process.pid) / MIB for name, process in processes.items()}
    for process in processes.values():
        process.kill()
        process.join()
    return {name: Measured(times[WARM_UP:], peaks[name]) for name, times in seconds.items()}


def _run(program: Callable[..., None], connection: Connection, *args: Any) -> None:
    program(Turn(connection), *args)
