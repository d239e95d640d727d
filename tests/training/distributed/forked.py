"""Real processes for tests, forked from a server that has imported torch, so that no process imports it again.

`launch` starts the server at its first call. Each run is one forked process, or several with the environment of a
process group. The server itself only imports and forks.
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

PRELOADED = (
    "hf_vitret.training.trainer",
    "transformers.models.dinov2.modeling_dinov2",
    "transformers.models.vit.modeling_vit",
    "pytorch_metric_learning.losses",
    "tests.training.runs",
)


class Run(NamedTuple):
    """A call of `module:function` with arguments that JSON can represent, in its own process or processes.

    The first argument is the folder that the function writes to, which is created. After `kill_after` seconds the
    processes are killed; 0 lets them end.
    """

    function: str
    arguments: list[Any]
    processes: int = 1
    kill_after: float = 0


@functools.cache
def server() -> subprocess.Popen[str]:
    """Start the server of this process, which ends with this process."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.distributed.forked"]
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    atexit.register(started.communicate)  # closes its input, which ends the server, and waits for it
    return started


def launch(*runs: Run, may_die: bool = False) -> list[list[int]]:
    """Run the runs one after another; return the exit code of each process, negative for the signal that killed it."""
    forking = server()
    assert forking.stdin is not None
    assert forking.stdout is not None
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        forking.stdin.write(json.dumps({"runs": runs, "environment": dict(os.environ), "log": log.name}) + "\n")
        forking.stdin.flush()
        answer = forking.stdout.readline()
        output = log.read()[-5000:]
    assert answer, output
    codes: list[list[int]] = json.loads(answer)
    assert may_die or not any(code for run in codes for code in run), output
    return codes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fork(run: Run, environment: dict[str, str], log: str) -> list[int]:
    """Fork the processes of one run and wait for them; if one fails, kill the others, which would wait for it."""
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
            os.kill(child, signal.SIGKILL)  # also a process that has ended: its id is valid until it is waited for
    codes = {}
    while len(codes) < len(children):
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
        if codes[child]:
            for other in set(children) - set(codes):
                os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    Image.init()  # loads Pillow's formats
    gc.freeze()  # so that a garbage collection in a fork does not copy the memory of the server
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps([fork(Run(*run), asked["environment"], asked["log"]) for run in asked["runs"]]), flush=True)


if __name__ == "__main__":
    main()
