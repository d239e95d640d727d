"""int8 codes, binary codes and their sizes, against numpy."""

import doctest

import numpy as np
import pytest
import torch

from hf_vitret.compression import quantization
from hf_vitret.compression.quantization import (
    PRECISIONS,
    bytes_per_vector,
    int8_scale,
    pack_signs,
    to_int8,
    unpack_signs,
)


def _unit(num_rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def test_examples() -> None:
    result = doctest.testmod(quantization)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("dim", [1, 8, 16, 383])
def test_bytes_are_those_of_the_arrays(dim: int) -> None:
    rows = _unit(3, dim)
    stored = {
        "float32": rows,
        "float16": rows.half(),
        "int8": to_int8(rows, int8_scale(rows)),
        "binary": pack_signs(rows),
        "binary_rescored": pack_signs(rows),
    }
    assert stored.keys() == PRECISIONS.keys()
    for precision, array in stored.items():
        assert bytes_per_vector(dim, precision) == array[0].nbytes


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a precision of float32, .* got 'int4'"):
        bytes_per_vector(8, "int4")


def test_int8_is_the_nearest_integer_and_clips() -> None:
    train, rows = _unit(50, 12), _unit(40, 12, seed=1) * 1.5
    scale = int8_scale(train)
    assert scale == pytest.approx(np.abs(train.numpy()).max() / 127)
    codes = to_int8(rows, scale)
    expected = np.clip(np.rint(rows.numpy() / np.float32(scale)), -127, 127)
    assert codes.dtype == torch.int8
    assert np.array_equal(codes, expected)
    assert int(codes.max()) == 127
    assert int(codes.min()) == -127
    # Where nothing is clipped, the error is at most half a step.
    kept = to_int8(train, scale).float() * scale
    assert float((kept - train).abs().max()) <= scale * 0.5001


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 16, 100])
def test_signs_are_packed_as_numpy_packs_them(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_ROWS", 3)
    rows = _unit(11, dim)
    rows[2] = 0.0
    codes = pack_signs(rows)
    assert np.array_equal(codes, np.packbits(rows.numpy() > 0, axis=1))
    assert np.array_equal(unpack_signs(codes, dim), np.where(rows.numpy() > 0, 1.0, -1.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: int8_scale(torch.zeros(2, 3)), ValueError, "other than 0 to calibrate on"),
        (lambda: int8_scale(torch.zeros(2, 3).int()), TypeError, "floating-point"),
        (lambda: to_int8(torch.ones(2, 3), 0.0), ValueError, r"scale must be above 0, .* got 0\.0"),
        (lambda: to_int8(torch.ones(2, 3), float("nan")), ValueError, "scale must be above 0, .* got nan"),
        (lambda: pack_signs(torch.ones(2, 3) / 0), ValueError, "embeddings must be finite"),
        (lambda: unpack_signs(torch.zeros(2, 2, dtype=torch.uint8), 17), ValueError, "3 bytes for 17 dim"),
        (lambda: unpack_signs(torch.zeros(2, 2), 16), ValueError, "got torch.float32"),
    ],
)
def test_wrong_input_is_named(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
