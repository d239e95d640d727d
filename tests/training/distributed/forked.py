"""Real processes for tests, without the price of importing torch in each: a server imports it and forks the rest.

`launch` starts the server at its first call; for it, every run is one forked process, or as many as it asks for with a
process group. The server itself does nothing but import and fork.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from tests import ROOT

WARM = (
    "hf_vitret.training.trainer",
    "transformers.models.dinov2.modeling_dinov2",
    "transformers.models.vit.modeling_vit",
    "pytorch_metric_learning.losses",
    "tests.training.runs",
)


class Run(NamedTuple):
    """A call of `module:function` with arguments that JSON can carry, in its own process or processes.

    The first argument is the folder that it writes to, which is made. `kill_after` is a number of seconds after which
    the processes are killed, wherever they are then; 0 lets them end.
    """

    function: str
    arguments: list[Any]
    processes: int = 1
    kill_after: float = 0


@functools.cache
def server() -> subprocess.Popen[str]:
    """Start the server of this process; it ends with it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.distributed.forked"]
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    atexit.register(started.communicate)  # closes its input, which ends it, and waits
    return started


def launch(*runs: Run, may_die: bool = False) -> list[list[int]]:
    """Make the runs one after another; return the exit code of each process, minus the signal that ended it."""
    asked = server()
    assert asked.stdin is not None
    assert asked.stdout is not None
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        asked.stdin.write(json.dumps({"runs": runs, "environment": dict(os.environ), "log": log.name}) + "\n")
        asked.stdin.flush()
        answer = asked.stdout.readline()
        said = log.read()[-5000:]
    assert answer, said
    codes: list[list[int]] = json.loads(answer)
    assert may_die or not any(code for run in codes for code in run), said
    return codes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fork(run: Run, environment: dict[str, str], log: str) -> list[int]:
    """Fork the processes of one run and wait for them; if one dies, the others, which would wait for it, are ended."""
    port, children = free_port(), []
    for rank in range(run.processes):
        child = os.fork()
        if child == 0:
            written = os.open(log, os.O_WRONLY | os.O_APPEND)
            os.dup2(written, 1)
            os.dup2(written, 2)
            os.environ |= environment | {"OMP_NUM_THREADS": "1"}
            if run.processes > 1:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(run.processes)}
                os.environ |= {"LOCAL_WORLD_SIZE": str(run.processes)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            code = 1
            try:
                module, function = run.function.split(":")
                Path(str(run.arguments[0])).mkdir(parents=True, exist_ok=True)
                getattr(importlib.import_module(module), function)(*run.arguments)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    if run.kill_after:
        time.sleep(run.kill_after)
        for child in children:
            os.kill(child, signal.SIGKILL)  # of one that has ended too: it is not waited for yet
    codes = {}
    while len(codes) < len(children):
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
        if codes[child]:
            for other in set(children) - set(codes):
                os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


def main() -> None:
    for warm in WARM:
        importlib.import_module(warm)
    Image.init()  # loads Pillow's formats
    gc.freeze()  # collections in a fork would copy the pages of all that is here
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps([fork(Run(*run), asked["environment"], asked["log"]) for run in asked["runs"]]), flush=True)


if __name__ == "__main__":
    main()
