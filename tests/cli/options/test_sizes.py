"""Sizes with their unit, read and written."""

from argparse import ArgumentTypeError

import numpy as np
import pytest

from hf_vitret.cli.options.sizes import rounded_size, size, size_text


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("2GiB", 2 * 1024 * 1024 * 1024),
        ("500MB", 500_000_000),
        ("1.5kib", 1_536),
        ("3 TiB", 3 * 1024**4),
        (" 7 b ", 7),
        ("0.5 Gb", 500_000_000),
        ("1tb", 1_000_000_000_000),
        ("0.25MiB", 262_144),
    ],
)
def test_a_size_is_read(text: str, num_bytes: int) -> None:
    assert size(text) == num_bytes


@pytest.mark.parametrize("text", ["2", "2.5", "", "GiB", "-1GiB", "1e3MB", "2 GiB 3 MB", "2GX", "0MB", "0.1B", "1,5GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^expected a size .*; got "):
        size(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(2**31, "2GiB"), (500_000_000, "500MB"), (1_000, "1KB"), (1_024, "1KiB"), (1_001, "1001B"), (2**40, "1TiB")],
)
def test_a_size_is_written_with_the_largest_unit_that_is_exact(num_bytes: int, text: str) -> None:
    assert size_text(num_bytes) == text


def test_what_is_written_is_read_as_the_same_number() -> None:
    generator = np.random.default_rng(0)
    scales = generator.choice([1, 10**3, 2**10, 10**6, 2**20, 10**9, 2**30], 300)
    for num_bytes in (generator.integers(1, 5_000, 300) * scales).tolist():
        assert size(size_text(num_bytes)) == num_bytes


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (86_523_904, "86.5 MB"), (3 * 10**12, "3 TB")]
)
def test_a_size_for_people_has_three_digits(num_bytes: int, text: str) -> None:
    assert rounded_size(num_bytes) == text
