"""How much memory of a process is resident. Linux only."""

from pathlib import Path

MIB = 2**20


def resident(field: str = "VmRSS", process: int | str = "self") -> int:
    """Read a resident size in bytes: now (`VmRSS`), of it what was allocated (`RssAnon`), or at its peak (`VmHWM`)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Let the peak of this process start anew."""
    Path("/proc/self/clear_refs").write_text("5")
