"""Processes of their own for tests, without the price of importing torch in each: a server imports it and forks.

A fork differs from a new interpreter by nothing but what `WARM` names: libraries that read no setting of the Hub. What
does (huggingface_hub, transformers, datasets) and this package are imported by each process for itself, in the
environment that it was given. Tests of what an import loads need a new interpreter.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import ROOT

# scipy and torch's compiler, which torchvision imports: half of the time that a model of transformers takes to import.
WARM = ("torch", "torchvision", "scipy.optimize", "pandas", "pyarrow.dataset", "pyarrow.parquet", "PIL.Image")
COLD = ("huggingface_hub", "transformers", "datasets", "accelerate", "hf_vitret")

_one_at_a_time = threading.Lock()


@functools.cache
def server() -> subprocess.Popen[str]:
    """Start the server of this process; it ends with it."""
    started = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    atexit.register(started.communicate)  # closes its input, which ends it, and waits
    return started


def run_warm(
    code: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run Python code as `python -c` does, one call after another.

    Args:
        code: The program; `sys.argv[1:]` are the arguments.
        *arguments: Passed to it.
        environment: All of its environment; default: that of this process.
        folder: Where it runs.

    Returns:
        The process, with `stdout`, `stderr` and `returncode`: minus the signal that ended it, where one did.
    """
    asked: dict[str, Any] = {
        "code": code,
        "arguments": [*map(str, arguments)],
        "environment": dict(os.environ if environment is None else environment),
        "folder": str(folder),
    }
    with tempfile.TemporaryDirectory() as said, _one_at_a_time:
        asked["streams"] = [str(Path(said, name)) for name in ("stdout", "stderr")]
        process = server()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        returncode = int(process.stdout.readline())
        stdout, stderr = (Path(path).read_text() for path in asked["streams"])
    return subprocess.CompletedProcess(asked["arguments"], returncode, stdout, stderr)


def become(asked: dict[str, Any]) -> int:
    """Be the program that was asked for; return the exit code."""
    for descriptor, path in enumerate([os.devnull, *asked["streams"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["-c", *asked["arguments"]]
    sys.path[:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    program = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        exec(compile(asked["code"], "<string>", "exec"), program.__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    for name in WARM:
        importlib.import_module(name)
    assert not set(COLD) & set(sys.modules), set(COLD) & set(sys.modules)
    gc.freeze()  # collections in a fork would copy the pages of all that is here
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = become(json.loads(line))
            # All that the interpreter does at its end but to take apart, for more than a second, what was imported.
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
