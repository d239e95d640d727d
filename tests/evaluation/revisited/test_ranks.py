"""Metrics of rankings against a literal implementation of the rules, for both axes, all types and memory layouts."""

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.revisited import ranks as ranks_module
from hf_vitret.evaluation.revisited.metrics import revisited_metrics_of_ranking, revisited_query_metrics_of_ranking
from tests.evaluation.revisited.oracle import metrics_of_queries

KS = (1, 5, 10)


def rankings_of(truth, num_images: int, seed: int) -> np.ndarray:
    """Rank random scores, with those of easy and hard images raised, `(num_queries, num_images)`."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((len(truth.query_ids), num_images))
    for query, (easy, hard) in enumerate(zip(truth.easy, truth.hard, strict=True)):
        scores[query, easy] += 3
        scores[query, hard] += 2
    return np.argsort(-scores, axis=1)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, list[float]]) -> None:
    assert list(found) == list(expected)
    for name, values in found.items():
        assert values.dtype == torch.float64
        np.testing.assert_allclose(values.numpy(), expected[name], rtol=0, atol=1e-12)  # nan equals nan


@pytest.mark.parametrize("num_gallery", [4_993, 6_322])
def test_equals_the_rules_on_sets_of_the_official_shape(make_truth, num_gallery: int) -> None:
    truth = make_truth(70, num_gallery, 150, seed=num_gallery)
    rankings = rankings_of(truth, num_gallery, seed=1)
    expected = metrics_of_queries(rankings, truth, KS)
    assert_same(revisited_query_metrics_of_ranking(rankings, truth), expected)
    assert_same(revisited_query_metrics_of_ranking(rankings.T.copy(), truth, query_axis=1), expected)
    means = revisited_metrics_of_ranking(rankings, truth)
    for name, values in expected.items():
        assert means[name] == pytest.approx(np.nanmean(values), abs=1e-12)
    counted = {level: 70 - sum(map(np.isnan, expected[f"{level}_map"])) for level in ("easy", "medium", "hard")}
    assert counted["medium"] > counted["easy"]
    assert {level: means[f"num_{level}_queries"] for level in counted} == counted
    assert all(means[f"num_{level}_queries_without_positive"] == 70 - number for level, number in counted.items())


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_rules_on_small_sets(make_truth, seed: int) -> None:
    """Small sets often have queries with few images, and lists with labelled images only."""
    truth = make_truth(10, 12, 4, seed)
    for num_images in (12, 15):  # three distractors
        rankings = rankings_of(truth, num_images, seed)
        expected = metrics_of_queries(rankings, truth, (1, 2, 3))
        assert_same(revisited_query_metrics_of_ranking(rankings, truth, ks=(1, 2, 3)), expected)


def test_lists_that_end_early_find_no_more(make_truth) -> None:
    truth = make_truth(10, 40, 8, seed=3)
    rankings = rankings_of(truth, 50, seed=4)[:, :20]
    filled = np.concatenate([rankings, np.full((10, 5), -1)], axis=1)
    filled[::2, 12:] = -1
    expected = metrics_of_queries([row[row >= 0] for row in filled], truth, KS)
    assert_same(revisited_query_metrics_of_ranking(filled, truth), expected)
    assert_same(revisited_query_metrics_of_ranking(filled.T, truth, query_axis=1), expected)
    nothing = revisited_metrics_of_ranking(np.full((10, 1), -1), truth)
    assert nothing["medium_map"] == nothing["medium_precision_at_1"] == 0
    assert nothing["num_medium_queries"] == 10 - np.isnan(expected["medium_map"]).sum() > 0
    assert revisited_metrics_of_ranking(np.empty((10, 0), np.int64), truth) == nothing


@pytest.mark.parametrize("kind", ["int32", "uint32", "int8", ">i8", "tensor", "fortran", "strided", "memmap"])
def test_any_memory_gives_the_same(make_truth, kind: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_truth(10, 60, 12, seed=5)
    rankings = rankings_of(truth, 90, seed=6)
    expected = metrics_of_queries(rankings, truth, KS)
    if kind == "tensor":
        given = torch.from_numpy(rankings)
    elif kind == "fortran":
        given = np.asfortranarray(rankings)
    elif kind == "strided":
        given = np.repeat(rankings, 2, axis=1)[:, ::2]
    elif kind == "memmap":
        given = np.memmap(tmp_path / "ranking", np.int64, "w+", shape=rankings.shape)
        given[:] = rankings
    else:
        given = rankings.astype(kind)
    assert_same(revisited_query_metrics_of_ranking(given, truth), expected)
    assert_same(revisited_query_metrics_of_ranking(given.T, truth, query_axis=1), expected)
    monkeypatch.setattr(ranks_module, "_ENTRIES", 7)
    assert_same(revisited_query_metrics_of_ranking(given, truth), expected)
    assert_same(revisited_query_metrics_of_ranking(given.T, truth, query_axis=1), expected)


def test_a_set_without_labelled_images(make_truth) -> None:
    metrics = revisited_metrics_of_ranking(np.arange(20).reshape(2, 10) % 10, make_truth(2, 10, 0, seed=0))
    assert np.isnan(metrics["medium_map"])
    assert metrics["num_medium_queries"] == 0


def test_what_is_no_ranking_is_refused(make_truth) -> None:
    truth = make_truth(10, 40, 8, seed=3)
    rankings = rankings_of(truth, 40, seed=4)
    with pytest.raises(ValueError, match=r"must be \(10, length\) with query_axis=0, got \(40, 10\).*query_axis=1"):
        revisited_metrics_of_ranking(rankings.T, truth)
    with pytest.raises(ValueError, match=r"query_axis must be 0 .* or 1 .*, got 2"):
        revisited_metrics_of_ranking(rankings, truth, query_axis=2)
    with pytest.raises(TypeError, match="integers, gallery rows; got float64"):
        revisited_metrics_of_ranking(rankings.astype(np.float64), truth)
    with pytest.raises(TypeError, match="integers, gallery rows; got list"):
        revisited_metrics_of_ranking(rankings.tolist(), truth)
    with pytest.raises(ValueError, match="ks must be at least 1 each, got 1, 0"):
        revisited_metrics_of_ranking(rankings, truth, ks=(1, 0))
    rankings[4, 30] = row = truth.easy[4][0]
    rankings[4, 31] = row
    with pytest.raises(ValueError, match=f"once in each list, got row {row} twice or more for query 4. Keep its first"):
        revisited_metrics_of_ranking(rankings, truth)
