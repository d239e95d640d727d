"""The examples in the docstrings of the losses have the printed results."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import iter_modules

import pytest

import hf_vitret.losses

WITHOUT_EXAMPLES = {"blockwise", "references"}
MODULES = {module.name for module in iter_modules(hf_vitret.losses.__path__)}


@pytest.mark.parametrize("name", sorted(MODULES - WITHOUT_EXAMPLES))
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(f"hf_vitret.losses.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
