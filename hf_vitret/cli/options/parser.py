"""An argument parser that suggests the nearest option for a mistyped one, and accepts dashes for underscores."""

from __future__ import annotations

import difflib
import sys
from argparse import SUPPRESS, Action, ArgumentDefaultsHelpFormatter, ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

BAD_INPUT = 2  # exit status, as in argparse


class HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Keep the line breaks of the description, and show the default of each option that has one."""

    def _get_help_string(self, action: Action) -> str | None:
        is_none = action.default is None or action.default == [] or action.default is False
        return action.help if is_none else super()._get_help_string(action)


class CommandParser(ArgumentParser):
    """An `ArgumentParser` without abbreviations, whose options accept `_` and `-`, and whose errors suggest an option.

    Args:
        prog: The command as the user types it, such as `hf-vitret train`.
        description: Text above the options in the help.
        **settings: Further arguments of `ArgumentParser`.
    """

    def __init__(self, prog: str | None = None, *, description: str | None = None, **settings: Any) -> None:
        settings = {"formatter_class": HelpFormatter, "allow_abbrev": False, **settings}
        super().__init__(prog=prog, description=description, **settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse the arguments; return the options, and the arguments that this parser does not know."""
        self._take_dashes()
        return super().parse_known_args(args, namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        """Parse the arguments.

        Raises:
            SystemExit: An argument is unknown or has a wrong value. The message suggests the nearest option.
        """
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self.describe_unknown(unknown))
        return options

    def describe_unknown(self, unknown: Sequence[str]) -> str:
        """Return an error message that names unknown arguments, and the options nearest to them."""
        options = [text for text in unknown if text.startswith("-")]
        if not options:
            return f"expected no further argument; got {' '.join(unknown)}"
        return "; ".join(self._describe_option(text.partition("=")[0]) for text in options)

    def error(self, message: str) -> NoReturn:
        """Print a message, and exit with status 2."""
        sys.stderr.write(f"error: {message}\n{self.prog} --help lists the options\n")
        sys.exit(BAD_INPUT)

    def _describe_option(self, text: str) -> str:
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        near = difflib.get_close_matches("--" + text.lstrip("-").replace("-", "_"), known, 1)
        return f"there is no option {text}" + (f"; did you mean {near[0]}?" if near else "")

    def _take_dashes(self) -> None:
        """Accept `--output-dir` for `--output_dir`, without showing it in the help."""
        for name, action in list(self._option_string_actions.items()):
            if name.startswith("--") and "_" in name:
                dashed = "--" + name[2:].replace("_", "-")
                self._option_string_actions.setdefault(dashed, action)
                if dashed in action.option_strings:
                    action.option_strings.remove(dashed)  # type: ignore[attr-defined]


def hide(parser: ArgumentParser, shown: Sequence[str]) -> int:
    """Hide the options that are not in `shown` from the help; return the number of hidden options."""
    hidden = 0
    for action in parser._actions:
        if action.option_strings and action.dest not in shown and action.help != SUPPRESS:
            action.help = SUPPRESS
            hidden += 1
    return hidden
