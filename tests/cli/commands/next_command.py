"""The command that another one printed under `Next`, as a shell reads it."""

import shlex


def next_command(printed: str) -> list[str]:
    """Return the arguments that follow `hf-vitret` in the last line that a command printed."""
    label, program, *arguments = shlex.split(printed.splitlines()[-1])
    assert (label, program) == ("Next", "hf-vitret"), printed
    return arguments
