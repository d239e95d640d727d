"""Sums of metrics, which no order of addition changes, against rational arithmetic."""

from fractions import Fraction

import pytest
import torch

from hf_vitret.evaluation.metrics.metric_sums import MetricSums, fixed_point_sum, row_sums

NAMES = ("recall_at_1", "map_at_r")


def numbers(*shape, seed=0):
    """Draw numbers from 1/256 to 1; each is a multiple of 2**-60."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 255 / 256 + 1 / 256


def sums_of(values, num_without=0):
    total = fixed_point_sum(values)
    return MetricSums(len(values) + num_without, len(values), dict(zip(NAMES, (total, total // 3), strict=True)))


def test_the_sum_is_the_rational_number():
    values = numbers(3_000)
    assert Fraction(fixed_point_sum(values), 2**60) == sum(map(Fraction, values.tolist()))


def test_small_numbers_are_rounded_to_the_unit():
    values = torch.tensor([2.0**-59, 1e-30, 1.0, 0.0], dtype=torch.float64)
    assert fixed_point_sum(values) == 2 + 0 + 2**60


@pytest.mark.parametrize("num_parts", [1, 2, 7])
def test_parts_in_any_order_and_any_number_give_the_same_metrics(num_parts):
    values = numbers(1_000)
    order = torch.randperm(1_000, generator=torch.Generator().manual_seed(1))
    total = MetricSums(0, 0, dict.fromkeys(["map"], 0))
    for part in values[order].tensor_split(num_parts):
        total += MetricSums(len(part), len(part), {"map": fixed_point_sum(part)})
    assert total == MetricSums(1_000, 1_000, {"map": fixed_point_sum(values)})
    floats = [sum(part.tolist()) for part in values.split(1)]
    assert total.metrics()["map"] == pytest.approx(sum(floats) / 1_000, abs=1e-12)


def test_sums_travel_as_int64():
    parts = [sums_of(numbers(400, seed=seed), num_without=seed) for seed in range(5)]
    tensor = sum(part.to_tensor() for part in parts)
    assert tensor.dtype == torch.int64
    received = MetricSums.from_tensor(NAMES, tensor)
    expected = parts[0] + parts[1] + parts[2] + parts[3] + parts[4]
    assert received == expected
    assert received.metrics() == expected.metrics()
    assert received.metrics()["num_queries_without_positive"] == 0 + 1 + 2 + 3 + 4


def test_sums_of_a_billion_queries_fit():
    sums = MetricSums(10**9, 10**9, dict.fromkeys(NAMES, 10**9 << 60))
    total = MetricSums.from_tensor(NAMES, sums.to_tensor() + sums.to_tensor() + sums.to_tensor())
    assert total.metrics()["map_at_r"] == total.metrics()["recall_at_1"] == 1.0
    assert total.num_queries == 3 * 10**9


def test_means_of_counts_are_the_nearest_floats():
    ones = torch.ones(7, dtype=torch.float64)
    assert MetricSums(70, 59, {"recall_at_1": fixed_point_sum(ones)}).metrics()["recall_at_1"] == 7 / 59


def test_sums_of_other_metrics_are_refused():
    other = MetricSums(0, 0, {"mrr": 0})
    with pytest.raises(ValueError, match="same metrics to be added, got recall_at_1, map_at_r and mrr"):
        sums_of(numbers(3)) + other
    with pytest.raises(ValueError, match="zip"):
        MetricSums.from_tensor(("mrr",), sums_of(numbers(3)).to_tensor())


def test_a_row_sums_alike_at_any_width():
    """As floats, the sum of a row may have other last digits once zeros are appended."""
    values = numbers(200, 37)
    right = [float(sum(map(Fraction, row))) for row in values.tolist()]
    for padding in (0, 1, 3, 8, 27, 100):
        padded = torch.nn.functional.pad(values, (0, padding))
        assert row_sums(padded).tolist() == right
