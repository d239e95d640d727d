"""The commands by name, and the parser of each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .options.parser import CommandParser

if TYPE_CHECKING:
    from types import ModuleType

# The commands in the order of a user's work. Each is a module of `hf_vitret.cli.commands`. Its docstring is the help of
# the command. It has `run(options) -> exit status`, and either `add_arguments(parser)` or both `parser(prog)` and
# `parse(arguments, prog) -> options`. A command with long work has `interruption(options)`, which returns what is kept
# after Ctrl-C. These functions import heavy packages; the module does not.
COMMANDS = (
    *("demo", "doctor", "prepare", "train", "evaluate", "export", "publish"),
    *("embed", "index", "search", "serve", "upgrade", "ingest", "convert", "env"),
)


def command_parser(name: str) -> CommandParser:
    """Return the parser of a command."""
    command, prog = load_command(name), f"hf-vitret {name}"
    if hasattr(command, "parser"):
        own: CommandParser = command.parser(prog)
        return own
    parser = CommandParser(prog, description=command.__doc__)
    command.add_arguments(parser)
    return parser


def summary_of(name: str) -> str:
    """Return the first line of a command's help."""
    return (load_command(name).__doc__ or "").partition("\n")[0]


def load_command(name: str) -> ModuleType:
    """Import the module of a command."""
    return import_module(f"hf_vitret.cli.commands.{name}")
