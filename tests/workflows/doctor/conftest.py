"""No bars in the output of the tests."""

import datasets
import pytest


@pytest.fixture(autouse=True)
def no_bars():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
