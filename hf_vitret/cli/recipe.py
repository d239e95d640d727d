"""What a recipe calls: `hf-vitret train` on one data set, with the settings that the recipe shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .main import run_command

if TYPE_CHECKING:
    from collections.abc import Mapping


def train(data: str | None, description: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
    """Run `hf-vitret train` with this program's own arguments.

    Args:
        data: Name of the data set, whose place is an option; `None`: the command line names the data.
        description: Shown by `--help`: the recipe's docstring.
        settings: Defaults by the names of the options; `None`: those that `hf-vitret train` has for the data set.

    Raises:
        SystemExit: Always, with the exit status of the command.
    """
    sys.exit(run_command("train", sys.argv[1:], data=data, description=description, settings=settings))
