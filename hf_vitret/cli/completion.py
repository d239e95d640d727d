"""Scripts by which a shell completes commands, options and paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command_table import COMMANDS, command_parser, summary_of
from .options.parser import CommandParser

if TYPE_CHECKING:
    from argparse import ArgumentParser

SHELLS = ("bash", "zsh", "fish")
# Options whose values are paths; the values of positional arguments are completed as paths too.
_PATHS = {"accelerate_config", "add_to", "calibration", "config", "data", "data_dir", "html", "image_dir", "images"}
_PATHS |= {"map", "model", "output_dir", "png", "revisited_dir"}


def completion(shell: str) -> str:
    """Return the script by which a shell completes `hf-vitret`.

    Args:
        shell: One of `SHELLS`.

    Returns:
        The script. Each shell has a folder for such scripts.
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
