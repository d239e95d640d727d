"""A tiny backbone, and recipes run in this process."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.workflows.finetune import flow


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Give the function that starts a recipe in an empty folder, as `python` does, and returns its exit status."""
    monkeypatch.chdir(tmp_path)

    def with_line(name: str, *line: str) -> Any:
        monkeypatch.setattr(sys, "argv", [f"recipes/{name}.py", *line])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "recipes" / f"{name}.py"), run_name="__main__")
        return ended.value.code

    return with_line
