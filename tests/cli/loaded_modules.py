"""What a command imports, seen from an interpreter of its own."""

import subprocess
import sys
from collections.abc import Sequence


def run_and_list(arguments: Sequence[str], heavy: Sequence[str]) -> tuple[int, str, list[str]]:
    """Run `hf-vitret` with arguments; return its status, what it printed, and which of some modules it has loaded."""
    program = (
        "import sys\nfrom hf_vitret.cli.main import main\nstatus = 0\n"
        f"try:\n    status = main({list(arguments)!r})\n"
        "except SystemExit as end:\n    status = end.code\n"
        f"print(status, *[name for name in {list(heavy)!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    printed, _, last = result.stdout.rstrip("\n").rpartition("\n")
    status, *loaded = last.split()
    return int(status), printed, loaded
