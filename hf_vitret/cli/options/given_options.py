"""A command line written again: the options that differ from what they are by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def given_options(parser: ArgumentParser, options: Namespace, **changes: str) -> list[str]:
    """Return the options that give the same ones again; flags, values and lists of values, none of them positional.

    Args:
        parser: That read them.
        options: What it read.
        **changes: Options to set otherwise.
    """
    line: list[str] = []
    for action in parser._actions:
        value = changes.get(action.dest, getattr(options, action.dest, action.default))
        if not action.option_strings or value == action.default:
            continue
        values = [] if value is True else value if isinstance(value, (list, tuple)) else [value]
        line += [action.option_strings[0], *map(str, values)]
    return line
