"""The output of a command: its result as text or as one JSON object, kept apart from everything else."""

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

WIDTH = 13  # columns of a label


class Output:
    """Prints the result of a command on standard output, and other lines where they do not mix with it.

    Args:
        as_json: Whether the result is one JSON object. Then it is the only output on standard output: all other lines,
            and the output of libraries, go to standard error.
        is_quiet: Whether to print the result only.
    """

    def __init__(self, *, as_json: bool = False, is_quiet: bool = False) -> None:
        self.as_json, self.is_quiet = as_json, is_quiet
        self._results: TextIO = sys.stdout
        self._lines: TextIO = sys.stderr if as_json else sys.stdout

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Keep the output of libraries off standard output inside a `with` block, if only the result may go there."""
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
        """Print the command to run next, quoted for a shell.

        Args:
            command: The program and its arguments. An argument of type `Path` is made absolute, so that the command
                runs from any folder.
        """
        parts = [str(part.absolute()) if isinstance(part, Path) else part for part in command]
        self.note("Next", shlex.join(parts))

    def result(self, text: str, content: Any) -> None:
        """Print the result.

        Args:
            text: The result for people, without a line break at its end.
            content: The result for programs, as JSON values; NaN and infinite numbers become null.
        """
        from ..files.json_values import json_text

        shown = json_text(content, default=str) if self.as_json else text
        if shown:
            self._results.write(f"{shown}\n")
            self._results.flush()


def labelled(*lines: tuple[str, str]) -> str:
    """Format pairs of a label and a text as aligned lines."""
    return "\n".join(f"{label:{WIDTH}}{text}" for label, text in lines)


def add_output_options(parser: ArgumentParser, *, has_result: bool = True) -> None:
    """Add the options for the output.

    Args:
        parser: The parser of a command.
        has_result: Whether the command has a result, and so the option `--json`.
    """
    group = parser.add_argument_group("printing")
    if has_result:
        group.add_argument(
            "--json", action="store_true", help="print the result as one JSON object, and everything else on stderr"
        )
    group.add_argument("-q", "--quiet", action="store_true", help="print only the result and errors")
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also print the messages of libraries, and the traceback of an error",
    )


def output_of(options: Namespace) -> Output:
    """Return the output that the parsed options choose; always the same object for the same options."""
    if not hasattr(options, "output"):
        options.output = Output(as_json=getattr(options, "json", False), is_quiet=getattr(options, "quiet", False))
    found: Output = options.output
    return found
