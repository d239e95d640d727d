"""Bootstrap intervals against closed forms and scipy, and their coverage."""

import doctest
import math

import numpy as np
import pytest
import torch
from scipy import stats

from hf_vitret.evaluation.reporting import bootstrap, resampled_means
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare

NORMAL = stats.norm.ppf(0.975)


def _recalls(num_queries, num_found):
    return torch.cat([torch.ones(num_found), torch.zeros(num_queries - num_found)]).double()


def _map_at_rs(num_queries, seed=0):
    """Draw values like those of MAP@R: in [0, 1], skewed, all different."""
    return np.random.default_rng(seed).beta(0.6, 0.3, num_queries)


@pytest.mark.parametrize("num_found", [500, 840, 990])
def test_recall_has_the_quantiles_of_the_binomial_distribution(num_found):
    # The number of hits among 1,000 queries drawn with replacement is binomial, so no simulation is needed.
    interval = bootstrap_interval(_recalls(1_000, num_found), num_resamples=100_000)
    expected = stats.binom.ppf([0.025, 0.975], 1_000, num_found / 1_000) / 1_000
    assert interval.mean == num_found / 1_000
    assert [interval.low, interval.high] == pytest.approx(expected, abs=0.001 + 1e-9)  # to within one query


@pytest.mark.parametrize("values", [_recalls(60_502, 50_821), _map_at_rs(3_000)], ids=["recall", "map_at_r"])
def test_many_queries_have_the_normal_interval(values):
    values = np.asarray(values)
    interval = bootstrap_interval(values, num_resamples=20_000)
    half = NORMAL * values.std() / math.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean(), abs=1e-14)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03 * half)


def test_scipy_finds_the_same_interval():
    values = _map_at_rs(120)
    ours = bootstrap_interval(values, num_resamples=20_000, confidence=0.9)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile", rng=1
    ).confidence_interval
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.002)


def test_the_mean_lies_in_95_of_100_intervals():
    # Standard error of the share at 600 trials: 0.009.
    rng, held = np.random.default_rng(3), 0
    for trial in range(600):
        interval = bootstrap_interval(rng.beta(0.6, 0.3, 150), num_resamples=400, seed=trial)
        held += interval.low <= 2 / 3 <= interval.high
    assert 0.92 <= held / 600 <= 0.97


@pytest.mark.parametrize("values", [_recalls(400, 300).numpy(), _map_at_rs(400)], ids=["counts", "queries"])
def test_the_result_does_not_depend_on_chunks_or_the_order_of_queries(values, monkeypatch):
    expected = bootstrap_interval(values, num_resamples=501, seed=5)
    shuffled = np.random.default_rng(0).permutation(values)
    assert bootstrap_interval(shuffled, num_resamples=501, seed=5) == expected
    assert bootstrap_interval(torch.as_tensor(values).float().double(), num_resamples=501, seed=6) != expected
    for chunk in (1, 1_000, 10_000_000):
        monkeypatch.setattr(resampled_means, "_CHUNK", chunk)
        assert bootstrap_interval(values, num_resamples=501, seed=5) == expected


def test_both_ways_of_drawing_agree(monkeypatch):
    values = np.random.default_rng(0).integers(0, 5, 2_000) / 4
    counted = bootstrap_interval(values, num_resamples=20_000)
    monkeypatch.setattr(resampled_means, "_COUNT_COST", 10**6)
    drawn = bootstrap_interval(values, num_resamples=20_000)
    assert counted != drawn
    assert [counted.low, counted.high] == pytest.approx([drawn.low, drawn.high], abs=0.0006)


def test_a_query_without_a_positive_is_left_out_and_counted():
    values = [1.0, math.nan, 0.0, 1.0, math.nan]
    interval = bootstrap_interval(values)
    assert (interval.mean, interval.num_queries, interval.num_left_out) == (2 / 3, 3, 2)
    without = bootstrap_interval([1.0, 0.0, 1.0])
    assert (interval.low, interval.high) == (without.low, without.high)


def test_nothing_to_average_is_nan():
    for values in ([math.nan, math.nan], []):
        interval = bootstrap_interval(values)
        assert math.isnan(interval.mean)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
        assert interval.num_queries == 0
    assert math.isnan(compare([math.nan], [math.nan]).p_value)


def test_settings_are_recorded():
    interval = bootstrap_interval([0.0, 1.0], num_resamples=77, confidence=0.5, seed=9)
    assert (interval.num_resamples, interval.confidence, interval.seed) == (77, 0.5, 9)
    result = compare([0.0, 1.0], [1.0, 1.0], num_resamples=77, confidence=0.5, seed=9)
    assert (result.num_resamples, result.confidence, result.seed) == (77, 0.5, 9)


def test_a_difference_has_the_interval_of_the_differences():
    rng = np.random.default_rng(0)
    hard = rng.random(2_000)  # a query that is hard for one model is hard for the other
    values_a, values_b = (hard < 0.80).astype(float), (hard < 0.78).astype(float)
    result = compare(values_a, values_b)
    assert result.difference == pytest.approx(values_a.mean() - values_b.mean(), abs=1e-14)
    alone = bootstrap_interval(values_a - values_b)
    assert (result.low, result.high) == (alone.low, alone.high)
    assert 0 < result.low < result.difference < result.high
    # Without pairing, as if the models had different queries, the same difference would not be significant.
    unpaired = math.hypot(values_a.std(), values_b.std()) / math.sqrt(2_000)
    assert result.difference < NORMAL * unpaired
    assert result.share_below_zero == 0
    assert result.p_value == 2 / 10_001


def test_exchanging_the_models_negates_the_difference():
    values_a, values_b = _map_at_rs(300, seed=1), _map_at_rs(300, seed=2)
    there, back = compare(values_a, values_b), compare(values_b, values_a)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high, abs=0.003)
    assert there.share_below_zero == pytest.approx(1 - back.share_below_zero, abs=0.02)
    assert (there.mean_a, there.mean_b) == (back.mean_b, back.mean_a)


def test_the_p_value_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(4)
    values_a, values_b = rng.normal(0.03, 1, 1_000), rng.normal(0, 1, 1_000)
    differences = values_a - values_b
    z = differences.mean() / (differences.std() / math.sqrt(1_000))
    result = compare(values_a, values_b, num_resamples=20_000)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.02)
    assert result.share_below_zero == pytest.approx(stats.norm.sf(z), abs=0.01)


def test_a_model_is_no_better_than_itself():
    values = _map_at_rs(50)
    result = compare(values, values)
    assert (result.difference, result.low, result.high) == (0, 0, 0)
    assert (result.share_below_zero, result.p_value) == (0, 1)


def test_a_query_that_one_model_alone_has_is_named():
    with pytest.raises(ValueError, match=r"nan in one alone for 2 queries: row 1, 3\. Whether"):
        compare([1.0, math.nan, math.nan, 0.0], [1.0, 0.0, math.nan, math.nan])
    with pytest.raises(ValueError, match="of the same queries, got 2 and 3"):
        compare([1.0, 0.0], [1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([[1.0, 0.0]], {}, r"must be \(num_queries,\), got shape \(1, 2\)"),
        ([1.0, -math.inf], {}, "got -inf in row 1"),
        ([1.0], {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
        ([1.0], {"confidence": 95}, "between 0 and 1, got 95"),
    ],
)
def test_wrong_input_is_named(values, settings, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **settings)


@pytest.mark.parametrize("module", [bootstrap, resampled_means])
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
