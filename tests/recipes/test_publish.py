"""`recipes/publish.py` is the command of the same name."""

import runpy
import sys

import pytest

from hf_vitret.cli import publish as command
from tests.recipes.conftest import ROOT


@pytest.mark.parametrize("status", [0, 3])
def test_it_is_the_command(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(command, "run", lambda options: seen.append(vars(options)) or status)
    monkeypatch.setattr(sys, "argv", ["recipes/publish.py", "runs/final", "ada/birds", "--tag", "v9"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "recipes" / "publish.py"), run_name="__main__")
    assert ended.value.code == status
    asked = {"checkpoint": "runs/final", "repository": "ada/birds", "tag": "v9", "private": True, "json": False}
    assert seen == [asked]


def test_import_does_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["anything", "--not-an-option"])
    doc = runpy.run_path(str(ROOT / "recipes" / "publish.py"))["__doc__"]
    assert capsys.readouterr() == ("", "")
    assert "python recipes/publish.py " in doc
