"""What a command prints: a result for people or one JSON object, and all else where it does not mix with it."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

WIDTH = 13  # of a label


class Output:
    """Where a command prints.

    Args:
        as_json: Whether standard output gets one JSON object and nothing else. What is for people, and what libraries
            print, goes to standard error then.
        is_quiet: Whether lines that are not the result are left out.
    """

    def __init__(self, *, as_json: bool = False, is_quiet: bool = False) -> None:
        self.as_json, self.is_quiet = as_json, is_quiet
        self._results: TextIO = sys.stdout
        self._lines: TextIO = sys.stderr if as_json else sys.stdout

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Keep what libraries print off standard output while the block runs, where it gets the result alone."""
        if self.is_quiet:
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                yield
        elif self.as_json:
            with redirect_stdout(self._lines):
                yield
        else:
            yield

    def say(self, text: str = "") -> None:
        """Print a line that is not the result."""
        if not self.is_quiet:
            self._lines.write(f"{text}\n")
            self._lines.flush()

    def note(self, label: str, text: str) -> None:
        """Print a labelled line that is not the result."""
        self.say(f"{label:{WIDTH}}{text}")

    def next(self, command: Sequence[str | Path]) -> None:
        """Print the command to run next: as it is printed, it runs, and from any folder.

        Args:
            command: The program and its arguments. Those that are a `Path` are made absolute.
        """
        parts = [str(part.absolute()) if isinstance(part, Path) else part for part in command]
        self.note("Next", shlex.join(parts))

    def result(self, text: str, content: Any) -> None:
        """Print the result.

        Args:
            text: For people, without a line break at its end.
            content: For programs: JSON values, in which NaN and infinite numbers become null.
        """
        from ..files.json_values import json_text

        shown = json_text(content, default=str) if self.as_json else text
        if shown:
            self._results.write(f"{shown}\n")
            self._results.flush()


def labelled(*lines: tuple[str, str]) -> str:
    """Lay out lines with labels."""
    return "\n".join(f"{label:{WIDTH}}{text}" for label, text in lines)


def add_output_options(parser: ArgumentParser, *, has_result: bool = True) -> None:
    """Add the options on what is printed.

    Args:
        parser: Of a command.
        has_result: Whether it prints a result, which `--json` is for.
    """
    group = parser.add_argument_group("printing")
    if has_result:
        group.add_argument("--json", action="store_true", help="print one JSON object, and everything else on stderr")
    group.add_argument("-q", "--quiet", action="store_true", help="print the result and errors only, and no progress")
    group.add_argument("-v", "--verbose", action="store_true", help="also show what libraries print while they load")


def output_of(options: Namespace) -> Output:
    """Return the output that the options ask for: one for each command line."""
    if not hasattr(options, "output"):
        options.output = Output(as_json=getattr(options, "json", False), is_quiet=getattr(options, "quiet", False))
    found: Output = options.output
    return found
