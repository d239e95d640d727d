"""Blocks of similarities: full, not larger than the limit of the device, and of at least some references."""

import pytest
import torch

from hf_vitret.losses.chunks import DEVICE_BLOCK, chunk_rows

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("num_anchors", [1, 7, 64, 1_024])
def test_a_block_is_filled_and_not_overrun(num_anchors: int) -> None:
    for device, block in ((CPU, 2**18), (GPU, DEVICE_BLOCK)):
        rows = chunk_rows(num_anchors, device, block=2**18, least=1)
        assert rows * num_anchors <= block < (rows + 1) * num_anchors


def test_many_anchors_still_get_the_least_number_of_references() -> None:
    assert chunk_rows(2**20, CPU, block=2**18, least=256) == 256
    assert chunk_rows(2**20, CPU, block=2**18, least=0) == 1
