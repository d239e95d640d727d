"""`train`, the function that a recipe calls: `hf-vitret train` with the settings of the recipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .main import run_command

if TYPE_CHECKING:
    from collections.abc import Mapping


def train(data: str | None, description: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
    """Run `hf-vitret train` with the arguments of this process.

    Args:
        data: Name of the data set; `None` if the command line names it.
        description: Text of `--help`: the docstring of the recipe.
        settings: Option -> default of the recipe, over the defaults of `hf-vitret train` for the data set.

    Raises:
        SystemExit: Always, with the exit status of the command.
    """
    sys.exit(run_command("train", sys.argv[1:], data=data, description=description, settings=settings))
