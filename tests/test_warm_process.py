"""A program in a warm process behaves as `python -c` does: what it sees, what it says, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm_process import COLD, ROOT, run_warm

PROGRAM = """
import atexit, os, sys, threading, time
print(os.getcwd(), sys.argv, sorted(os.environ.items()), __name__, sys.path[0], sys.stdin.read())
print("told", file=sys.stderr)
atexit.register(print, "at the end")
threading.Thread(target=lambda: (time.sleep(0.05), print("from a thread"))).start()
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit()",
        "sys.exit(3)",
        "sys.exit('a reason')",
        "raise ValueError('wrong')",
        "open('/nowhere')",
        "sys.stdout.flush(); os.kill(os.getpid(), 9)",
    ],
)
def test_it_is_what_the_interpreter_makes_of_it(end: str, tmp_path: Path) -> None:
    environment = {"HOME": "/nowhere", "PYTHONPATH": "/one:/two", "LC_CTYPE": "C.UTF-8"}
    expected = subprocess.run(
        [sys.executable, "-c", PROGRAM + end, "a", "b c"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = run_warm(PROGRAM + end, "a", "b c", environment=environment, folder=tmp_path)
    assert found.returncode == expected.returncode
    assert found.stdout == expected.stdout
    assert found.stderr.splitlines()[:1] == expected.stderr.splitlines()[:1] == ["told"]
    assert found.stderr.splitlines()[-1] == expected.stderr.splitlines()[-1]


def test_each_is_alone_and_without_what_reads_settings() -> None:
    said = f"import sys; print([name for name in {COLD} if name in sys.modules], os.environ.get('LEFT'))"
    leave = "import os, hf_vitret, huggingface_hub; os.environ['LEFT'] = '1'; os.chdir('/'); "
    assert run_warm(leave + said).stdout == "['huggingface_hub', 'hf_vitret'] 1\n"
    assert run_warm("import os; " + said).stdout == "[] None\n"
    assert run_warm("import os; print(os.getcwd())").stdout == f"{ROOT}\n"
    assert "LEFT" not in os.environ
