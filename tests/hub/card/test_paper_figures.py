"""The paper's figures have complete rows in percent, and agree with the docstrings of the recipes."""

import ast
import re

import pytest

from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from tests import ROOT

RECIPES = ROOT / "recipes"


@pytest.mark.parametrize("name", PAPER_FIGURES)
def test_rows(name: str) -> None:
    rows = PAPER_FIGURES[name]["rows"]
    columns = list(next(iter(rows.values())))
    for title, row in rows.items():
        assert list(row) == columns[: len(row)], title
        assert all(0 < value < 100 for value in row.values())
        if "R@1" in row:  # R@K grows with K
            assert list(row.values()) == sorted(row.values())


@pytest.mark.parametrize("name", PAPER_FIGURES)
def test_recipes_expect_the_same(name: str) -> None:
    doc = ast.get_docstring(ast.parse((RECIPES / f"train_{name}.py").read_text(encoding="utf-8")))
    score = re.search(r"^Score:.*?(?=\n\n|\Z)", doc, re.MULTILINE | re.DOTALL)[0]
    printed = {float(number) for number in re.findall(r"(?<![\w@.])\d+\.\d\b", score)}
    known = {value for row in PAPER_FIGURES[name]["rows"].values() for value in row.values()}
    assert len(printed) >= 6
    assert printed - {0.0} <= known
