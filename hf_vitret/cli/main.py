"""Fine-tune, examine, evaluate, search and publish for image retrieval, from the command line."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from .command_table import COMMANDS, command_parser, load_command, summary_of
from .options.parser import BAD_INPUT, CommandParser
from .output import output_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from types import ModuleType

INTERRUPTED = 130  # exit status after Ctrl-C, as in shells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments after `hf-vitret`; default: those of this process.

    Returns:
        The exit status: 0 if the command is done; 1 if it is done and found something that a script should stop for; 2
        for bad input (with a message on standard error, without a traceback); 130 after Ctrl-C.

    Raises:
        SystemExit: After `--help` and `--version` (0), and for unknown options (2).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in COMMANDS:
        return _answer_general(given)
    name, *rest = given
    return run_command(name, rest)


def run_command(name: str, arguments: Sequence[str], **recipe: Any) -> int:
    """Run a command by its name.

    Args:
        name: One of `COMMANDS`.
        arguments: The arguments after the name of the command.
        **recipe: Settings of a recipe, for `train` only: the arguments of `hf_vitret.cli.recipe.train`.

    Returns:
        The exit status: 0, 1, 2 or 130, as `main` returns it.
    """
    command, prog = load_command(name), f"hf-vitret {name}"
    is_verbose, options = "--verbose" in arguments or "-v" in arguments, None
    try:
        if hasattr(command, "parse"):
            options = command.parse(arguments, prog, **recipe)
        else:
            options = command_parser(name).parse_args(arguments)
        return _run(name, command, arguments, options)
    # Bad input: a value, a file, a data set or a model of the Hub, or an extra that is not installed.
    except (ValueError, OSError, ImportError) as error:
        if is_verbose:
            traceback.print_exc()
        if os.environ.get("LOCAL_RANK", "0") == "0":  # only one of several processes prints it
            sys.stderr.write(f"error: {error}\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        describe = getattr(command, "interruption", None)
        left = describe(options) if describe is not None and options is not None else "nothing was changed"
        if os.environ.get("LOCAL_RANK", "0") == "0":
            sys.stderr.write(f"\ninterrupted: {left}\n")
        return INTERRUPTED


def _run(name: str, command: ModuleType, arguments: Sequence[str], options: Namespace) -> int:
    from .options.launch_options import asks_for_launch, launch
    from .progress import configure_progress

    if asks_for_launch(options):
        return launch(name, arguments, options)
    output = output_of(options)
    configure_progress(is_quiet=output.is_quiet)
    with output.redirected():
        status: int = command.run(options)
    return status


def _answer_general(given: Sequence[str]) -> int:
    """Answer `--help`, `--version` and `--print_completion`, or suggest the nearest command for a mistyped one."""
    from hf_vitret import __version__

    from .completion import SHELLS, completion

    lines = [f"  {name:10}{summary_of(name)}" for name in COMMANDS]
    parser = CommandParser(
        "hf-vitret",
        usage="hf-vitret COMMAND [options]",
        description=__doc__,
        epilog="\n".join(["commands:", *lines, "", "hf-vitret COMMAND --help describes each."]),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hf-vitret {__version__}")
    parser.add_argument(
        "--print_completion", choices=SHELLS, metavar="SHELL", help=f"completion for {', '.join(SHELLS)}"
    )
    if given and not given[0].startswith("-"):
        near = difflib.get_close_matches(given[0], COMMANDS, 1)
        sys.stderr.write(
            f"error: there is no command {given[0]}"
            + (f"; did you mean {near[0]}?" if near else "")
            + "\nhf-vitret --help lists the commands\n"
        )
        return BAD_INPUT
    options = parser.parse_args(given)
    if options.print_completion is not None:
        sys.stdout.write(completion(options.print_completion))
        return 0
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
