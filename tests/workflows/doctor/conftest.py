"""Disable progress bars in the tests of the doctor."""

import datasets
import pytest


@pytest.fixture(autouse=True)
def no_bars():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
