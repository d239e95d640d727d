"""Fine-tune, prepare and examine for image retrieval, from the command line."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each module has a docstring, which is its help text, `add_arguments(parser)` and `run(options) -> exit status`; it
# imports what is heavy inside `run`.
COMMANDS = {
    "convert": "hf_vitret.cli.convert",
    "doctor": "hf_vitret.cli.doctor",
    "embed": "hf_vitret.cli.embed",
    "evaluate": "hf_vitret.cli.evaluate",
    "export": "hf_vitret.cli.export",
    "index": "hf_vitret.cli.index",
    "ingest": "hf_vitret.cli.ingest",
    "prepare": "hf_vitret.cli.prepare",
    "publish": "hf_vitret.cli.publish",
    "search": "hf_vitret.cli.search",
    "serve": "hf_vitret.cli.serve",
    "upgrade": "hf_vitret.cli.upgrade",
}
BAD_INPUT = 2  # exit status, as of argparse itself


class HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Show a docstring line by line, as it is written, and each option's default where it has one."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `hf-vitret`; default: this program's own arguments.

    Returns:
        The exit status: that of the command, or 2 where the input is at fault (its message is then on the standard
        error, without a traceback).

    Raises:
        SystemExit: After `--help` and `--version` (0), or where the arguments are not understood (2).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in COMMANDS:
        _parse_general(given)
    name, *rest = given
    command = import_module(COMMANDS[name])
    parser = ArgumentParser(f"hf-vitret {name}", description=command.__doc__, formatter_class=HelpFormatter)
    command.add_arguments(parser)
    options = parser.parse_args(rest)
    try:
        status: int = command.run(options)
    # The input: a value, a file, a data set or model of the Hub, a package that an option needs.
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return BAD_INPUT
    return status


def _parse_general(given: list[str]) -> NoReturn:
    """Answer `--help` and `--version`, or say that there is no such command."""
    from hf_vitret import __version__

    summaries = {name: (import_module(module).__doc__ or "").partition("\n")[0] for name, module in COMMANDS.items()}
    lines = [f"  {name:10}{summary}" for name, summary in summaries.items()]
    parser = ArgumentParser(
        "hf-vitret",
        description=__doc__,
        epilog="\n".join(["commands:", *lines, "", "hf-vitret COMMAND --help says more of each."]),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hf-vitret {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), help="what to do, with its own options after it")
    parser.parse_args(given)
    parser.error(f"expected a command first; got {given[0]!r}")


if __name__ == "__main__":
    sys.exit(main())
