"""The table of short vectors, cell by cell, against a loop over queries and the PCA of scikit-learn."""

import doctest
import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from hf_vitret.compression.quantization import PRECISIONS
from hf_vitret.evaluation.short_vectors import shortlist_ranks
from hf_vitret.evaluation.short_vectors import table as short_vector_table
from hf_vitret.evaluation.short_vectors.sweep import DIMS, REDUCTIONS, short_vectors

SHORTLIST = 12


@pytest.mark.parametrize("module", [short_vector_table, shortlist_ranks])
def test_examples(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def _features(num_rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw rows of 20 dimensions and rank 19, as after a LayerNorm, and labels with a singleton and uneven classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 25, (num_rows,), generator=generator)
    labels[0] = 99
    centres = torch.randn(100, 20, generator=generator)
    rows = (centres[labels] + 0.7 * torch.randn(num_rows, 20, generator=generator)) * 0.9 ** torch.arange(20)
    return torch.nn.functional.layer_norm(rows, (20,)) + 0.3, labels


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _reduce(reduction: str, dim: int, train: np.ndarray, side: np.ndarray) -> np.ndarray:
    if reduction == "first_d":
        return _unit(side[:, :dim])
    return _unit(SklearnPCA(dim, whiten=reduction == "pca_whitened", svd_solver="full").fit(train).transform(side))


def _ranks(scores: np.ndarray, is_right: np.ndarray, tolerance: float) -> list[int]:
    """Return the ranks of the positives, each behind every negative that it ties with."""
    right = sorted(scores[is_right], reverse=True)
    return [num_ahead + int((scores[~is_right] >= score - tolerance).sum()) for num_ahead, score in enumerate(right)]


def _naive(precision, train, queries, gallery, query_labels, gallery_labels, is_visible) -> tuple[float, float]:
    """Return R@1 and MAP@R from a loop over the queries."""
    dim = queries.shape[1]
    signs = [np.where(side > 0, 1.0, -1.0) for side in (queries, gallery)]
    if precision == "float16":
        queries, gallery = (
            side.astype(np.float32).astype(np.float16).astype(np.float64) for side in (queries, gallery)
        )
    elif precision == "int8":
        scale = np.abs(train).max() / 127
        queries, gallery = (np.clip(np.rint(side / scale), -127, 127) * scale for side in (queries, gallery))
    elif precision == "binary":
        queries, gallery = (side / dim**0.5 for side in signs)
    recalls, precisions = [], []
    for query in range(len(queries)):
        visible = is_visible[query].nonzero()[0]
        is_right = gallery_labels[visible] == query_labels[query]
        if not is_right.any():
            continue
        num_positives = is_right.sum()
        scores = gallery[visible] @ queries[query]
        if precision == "binary_rescored":
            hamming = (signs[1][visible] != signs[0][query]).sum(axis=1)
            order = np.argsort(hamming, kind="stable")
            first_left_out = hamming[order[SHORTLIST]] if len(order) > SHORTLIST else np.inf
            kept = [item for item in order[:SHORTLIST] if not (is_right[item] and hamming[item] == first_left_out)]
            scores, is_right = signs[1][visible][kept] @ queries[query] / dim**0.5, is_right[kept]
        ranks = _ranks(scores, is_right, 2e-6)
        recalls.append(bool(ranks) and ranks[0] == 0)
        hits = [(num_ahead + 1) / (rank + 1) for num_ahead, rank in enumerate(ranks) if rank < num_positives]
        precisions.append(sum(hits) / num_positives)
    return float(np.mean(recalls)), float(np.mean(precisions))


@pytest.mark.parametrize("has_gallery", [False, True])
def test_every_cell_is_that_of_the_loop(has_gallery: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_ranks, "_QUERIES", 32)
    (train, _), (rows, labels) = _features(160, 0), _features(140, 1)
    if has_gallery:
        (queries, gallery), (query_labels, gallery_labels) = rows.split([60, 80]), labels.split([60, 80])
        query_ids, gallery_ids = np.arange(60) % 40, np.arange(80) % 50
        is_visible = query_ids[:, None] != gallery_ids[None]
        extra = (gallery, gallery_labels)
        ids = {"query_ids": query_ids, "gallery_ids": gallery_ids}
    else:
        queries, query_labels, gallery, gallery_labels = rows, labels, rows, labels
        is_visible = ~np.eye(140, dtype=bool)
        extra, ids = (), {}
    result = short_vectors(
        train, queries, query_labels, *extra, **ids, dims=(20, 8, 3), shortlist=SHORTLIST, progress=False
    )
    assert result.omitted == ((20, "pca_whitened"),)
    cells = {(score.dim, score.reduction, score.precision): score for score in result.scores}
    assert len(cells) == (3 * 3 - 1) * 5
    for (dim, reduction, precision), score in cells.items():
        sides = [
            _reduce(reduction, dim, train.double().numpy(), side.double().numpy()) for side in (train, queries, gallery)
        ]
        expected = _naive(precision, *sides, query_labels.numpy(), gallery_labels.numpy(), is_visible)
        found = (score.recall_at_1, score.map_at_r)
        assert found == pytest.approx(expected, abs=1e-9), (dim, reduction, precision)
    # The cases are not all alike, and few are trivial.
    assert len({score.map_at_r for score in result.scores}) > 25
    assert sum(0.05 < score.map_at_r < 0.95 for score in result.scores) > 30


def test_a_shortlist_of_everything_misses_nothing() -> None:
    (train, _), (rows, labels) = _features(60, 0), _features(80, 1)
    wanted = {"dims": (8,), "reductions": ["pca"], "precisions": ["binary_rescored"], "progress": False}
    whole = short_vectors(train, rows, labels, shortlist=79, **wanted)
    longer = short_vectors(train, rows, labels, shortlist=500, **wanted)
    assert whole.scores == longer.scores
    one = short_vectors(train, rows, labels, shortlist=1, **wanted)
    assert one.scores[0].map_at_r < whole.scores[0].map_at_r


def test_a_collapsed_model_scores_nothing() -> None:
    train, labels = _features(60, 0)
    result = short_vectors(train, torch.ones(60, 20), labels, dims=(20, 4), progress=False, reductions=["first_d"])
    assert {(score.recall_at_1, score.map_at_r) for score in result.scores} == {(0.0, 0.0)}


def test_order_of_the_gallery_and_kind_of_labels_change_nothing() -> None:
    (train, _), (rows, labels) = _features(60, 0), _features(90, 1)
    some = {"dims": (8,), "precisions": ["float32", "int8", "binary"], "progress": False}
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    first = short_vectors(train, rows, labels, **some)
    second = short_vectors(train, rows[order], [f"class {label}" for label in labels[order].tolist()], **some)
    assert first.scores == second.scores


def test_default_dimensions_and_the_table() -> None:
    (train, _), (rows, labels) = _features(60, 0), _features(40, 1)
    result = short_vectors(train, rows, labels, precisions=["float32", "binary_rescored"], progress=False)
    assert {score.dim for score in result.scores} == {20, 16}
    assert DIMS == (256, 128, 64, 32, 16)
    assert result.num_queries_without_positive >= 1
    lines = result.table().splitlines()
    assert lines[0].endswith("40 queries in 40 items, PCA of 60 rows")
    assert lines[3].split() == ["20", "bytes", "80", "3"]
    assert [line.split()[0] for line in lines[4:7]] == list(REDUCTIONS)
    assert lines[5].split()[1:] == ["-"] * 4
    first = result.scores[0]
    assert lines[4].split()[1:3] == [f"{100 * first.recall_at_1:.2f}", f"{100 * first.map_at_r:.2f}"]
    assert lines[-1].startswith("pca_whitened at 20 (-)")
    assert json.loads(json.dumps(result.rows()))[0] == {
        "dim": 20,
        "reduction": "pca",
        "precision": "float32",
        "bytes_per_vector": 80,
        "recall_at_1": first.recall_at_1,
        "map_at_r": first.map_at_r,
    }


def test_one_set_of_bits_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """PCA with and without whitening has the same signs."""
    (train, _), (rows, labels) = _features(60, 0), _features(40, 1)
    calls = []
    search = shortlist_ranks.hamming_neighbors
    monkeypatch.setattr(
        shortlist_ranks, "hamming_neighbors", lambda *args, **kwargs: (calls.append(1), search(*args, **kwargs))[1]
    )
    result = short_vectors(train, rows, labels, dims=(8,), precisions=["binary_rescored"], progress=False)
    assert len(result.scores) == len(REDUCTIONS)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": (30,)}, r"dims from 1 to 20, .* got \[30\]"),
        ({"dims": (8, 0)}, "dims from 1 to 20"),
        ({"reductions": ["ica"]}, "reductions must be some of pca, pca_whitened, first_d; got ica"),
        ({"precisions": []}, f"precisions must be some of {', '.join(PRECISIONS)}; got none"),
        ({"shortlist": 0}, "shortlist must be at least 1, got 0"),
        ({"train_features": torch.rand(9, 20)}, "from 1 to 8, .* got 20: fit on more rows"),
        (
            {"reductions": ["pca_whitened"], "dims": (20,)},
            r"a dim up to 19 to whiten, .* got \[20\]. Pass a smaller dim",
        ),
        ({"train_features": torch.rand(60, 12)}, "one embedding dimension, got 20 and 12"),
        ({"features": torch.full((40, 20), torch.nan)}, "^features must be finite"),
        ({"labels": [1, 2]}, "labels must have one label for each of the 40 features, got 2"),
        ({"gallery_features": torch.rand(5, 20)}, "must come together"),
        ({"query_ids": [1]}, "need a gallery"),
        ({"gallery_features": torch.rand(5, 20), "gallery_labels": [1]}, "^gallery_labels must have one .* of the 5"),
    ],
)
def test_wrong_input_is_named(changes, message) -> None:
    rows, labels = _features(40, 1)
    arguments = {"train_features": _features(60, 0)[0], "features": rows, "labels": labels, "progress": False}
    with pytest.raises(ValueError, match=message):
        short_vectors(**{**arguments, **changes})
