"""Match rates against all scores in numpy, and against the ROC curve of scikit-learn."""

import doctest
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from hf_vitret.evaluation.matching import false_pairs
from hf_vitret.evaluation.matching import match_rates as module
from hf_vitret.evaluation.matching.match_rates import match_rates
from hf_vitret.evaluation.ranking import checked_order

RATES = (0.0, 1e-4, 0.001, 0.01, 0.1, 0.29, 0.5, 0.9, 1.0)


def _all_pairs(embeddings, labels, gallery=None, gallery_labels=None, query_ids=None, gallery_ids=None):
    """Return the float32 scores of all pairs and whether they are true."""
    if gallery is None:
        gallery, gallery_labels = embeddings, labels
        rows, columns = np.triu_indices(len(embeddings), k=1)
    else:
        hidden = np.zeros((len(embeddings), len(gallery)), bool)
        if query_ids is not None:
            hidden = np.asarray(query_ids)[:, None] == np.asarray(gallery_ids)[None]
        rows, columns = np.nonzero(~hidden)
    scores = (embeddings.double().numpy() @ gallery.double().numpy().T).astype(np.float32)[rows, columns]
    return scores, np.asarray(labels)[rows] == np.asarray(gallery_labels)[columns]


def _expected(scores, is_true, rate):
    """Return the lowest threshold that satisfies the rate, and its rates, by counting from the highest score."""
    false = np.sort(scores[~is_true])[::-1]
    num_allowed = int(np.floor(round(rate * len(false), 9)))
    threshold = -np.inf if num_allowed >= len(false) else np.nextafter(false[num_allowed], np.float32(np.inf))
    matches = scores >= threshold
    return (
        float(threshold),
        pytest.approx(matches[is_true].mean()) if is_true.any() else pytest.approx(math.nan, nan_ok=True),
        int(matches[~is_true].sum()),
    )


def _check(found, scores, is_true):
    assert (found.num_true_pairs, found.num_false_pairs) == (is_true.sum(), (~is_true).sum())
    for rate in found.rates:
        received = (rate.threshold, rate.true_match_rate, rate.num_false_matches)
        assert received == _expected(scores, is_true, rate.false_match_rate), rate.false_match_rate


def test_all_pairs_of_one_set(dataset):
    embeddings, labels = dataset
    scores, is_true = _all_pairs(embeddings, labels.numpy())
    if is_true.all():
        with pytest.raises(ValueError, match="two items of different labels to compare, got none"):
            match_rates(embeddings, labels)
        return
    _check(match_rates(embeddings, labels, false_match_rates=RATES), scores, is_true)


def test_queries_against_a_gallery_with_ids(dataset):
    embeddings, labels = dataset
    queries, gallery = slice(0, 120), slice(60, 301)
    ids = np.arange(301) // 2  # two items share an id, whether their classes are equal or not
    arguments = (embeddings[queries], labels[queries], embeddings[gallery], labels[gallery])
    plain = [part.numpy() if part.dtype == torch.int64 else part for part in arguments]
    if len(np.unique(labels)) > 1:
        _check(match_rates(*arguments, false_match_rates=RATES), *_all_pairs(*plain))
        found = match_rates(*arguments, query_ids=ids[queries], gallery_ids=ids[gallery], false_match_rates=RATES)
        _check(found, *_all_pairs(*plain, ids[queries], ids[gallery]))


def test_the_result_does_not_depend_on_how_the_work_is_cut(dataset, monkeypatch):
    embeddings, labels = dataset
    if len(labels.unique()) == 1:
        return
    rates = (0.001, 0.1, 0.5)
    expected = match_rates(embeddings, labels, false_match_rates=rates)
    for tile_size in (72, 200):
        assert match_rates(embeddings, labels, false_match_rates=rates, tile_size=tile_size) == expected
    monkeypatch.setattr(false_pairs, "_MAX_KEYS", 16)  # many passes, each over a narrower window
    monkeypatch.setattr(false_pairs, "_NUM_BINS", 16)
    monkeypatch.setattr(false_pairs, "_HISTOGRAM_SIZE", 5_000)
    assert match_rates(embeddings, labels, false_match_rates=rates, tile_size=304) == expected


def test_rows_of_any_length():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(200, 24, generator=generator) * torch.rand(200, 1, generator=generator) * 30
    labels = torch.arange(200) // 4
    _check(match_rates(embeddings, labels, false_match_rates=RATES), *_all_pairs(embeddings, labels.numpy()))


def test_scikit_learns_curve_has_the_same_points():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 20, (250,), generator=generator)
    embeddings = torch.randn(20, 16, generator=generator)[labels] + torch.randn(250, 16, generator=generator)
    embeddings = torch.nn.functional.normalize(embeddings, dim=1)
    scores, is_true = _all_pairs(embeddings, labels.numpy())
    false_rates, true_rates, _ = roc_curve(is_true, scores, drop_intermediate=False)
    for rate in match_rates(embeddings, labels, false_match_rates=RATES).rates:
        assert rate.true_match_rate == pytest.approx(true_rates[false_rates <= rate.false_match_rate].max())


def test_false_pairs_that_tie_at_the_threshold_are_all_kept_out():
    # The false pairs have the scores 0.75, once, and 0.5, four times; the true pairs 0.5 and 0.625.
    queries, gallery = torch.eye(1), torch.tensor([[0.75], [0.5], [0.5], [0.5], [0.5], [0.5], [0.625]])
    labels = ["other"] * 5 + ["right"] * 2
    [rate] = match_rates(queries, ["right"], gallery, labels, false_match_rates=[0.4]).rates
    assert rate.threshold == np.nextafter(np.float32(0.5), np.float32(1))
    assert (rate.num_false_matches, rate.true_match_rate) == (1, 0.5)


def test_a_collapsed_model_matches_nothing():
    rates = match_rates(torch.ones(60, 4), torch.arange(60) // 2, false_match_rates=[0.01, 0.99]).rates
    assert [(rate.true_match_rate, rate.num_false_matches) for rate in rates] == [(0.0, 0), (0.0, 0)]


def test_without_a_true_pair_there_is_a_threshold():
    found = match_rates(torch.eye(4), ["a", "b", "c", "d"])
    assert found.num_true_pairs == 0
    assert all(math.isnan(rate.true_match_rate) for rate in found.rates)
    assert "nan" in found.table()


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan])
def test_a_rate_outside_its_domain_is_named(rate):
    with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], got {rate}"):
        match_rates(torch.eye(2), [0, 1], false_match_rates=[rate])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.eye(3), [0.0, 1.0, 1.0]), TypeError, "labels must be integers or strings"),
        ((torch.eye(3), [0, 1]), ValueError, "one label for each of the 3 embeddings, got 2"),
        ((torch.eye(3), [0, 1, 1], torch.eye(3)), ValueError, "must come together"),
        ((torch.eye(3), [0, 1, 1], torch.eye(4), [0, 1, 1, 1]), ValueError, "one embedding dimension"),
        ((torch.tensor([[1.0], [math.nan]]), [0, 1]), ValueError, "infinity in row 1"),
    ],
)
def test_wrong_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        match_rates(*arguments)


def test_ids_need_a_gallery():
    with pytest.raises(ValueError, match="need a gallery"):
        match_rates(torch.eye(2), [0, 1], query_ids=[0, 1], gallery_ids=[0, 1])


@pytest.mark.parametrize("each", [module, false_pairs, checked_order])
def test_examples(each):
    result = doctest.testmod(each)
    assert result.attempted > 0
    assert result.failed == 0
