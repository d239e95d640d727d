"""A tiny backbone in a folder."""

from pathlib import Path

import pytest

from tests.workflows.finetune import flow


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))
