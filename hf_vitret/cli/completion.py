"""Completion of commands, options and paths in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command_table import COMMANDS, command_parser, summary_of
from .options.parser import CommandParser

if TYPE_CHECKING:
    from argparse import ArgumentParser

SHELLS = ("bash", "zsh", "fish")
# Options whose values are paths, as positional arguments are.
_PATHS = frozenset(
    {
        "accelerate_config",
        "calibration",
        "config",
        "data",
        "data_dir",
        "html",
        "image_dir",
        "map",
        "model",
        "output_dir",
    }
    | {"png", "revisited_dir", "add_to", "images"}
)


def completion(shell: str) -> str:
    """Return the script by which a shell completes `hf-vitret`: to be put where the shell looks for such scripts.

    Args:
        shell: One of `SHELLS`.
    """
    import shtab

    parser = CommandParser("hf-vitret")
    commands = parser.add_subparsers()
    for name in COMMANDS:
        commands.add_parser(name, help=summary_of(name))
        commands._name_parser_map[name] = command_parser(name)
        _complete_paths(commands._name_parser_map[name])
    return str(shtab.complete(parser, shell=shell))


def _complete_paths(parser: ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if not action.choices and (not action.option_strings or action.dest in _PATHS):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
