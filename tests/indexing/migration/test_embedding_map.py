from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge

from hf_vitret.indexing.migration.embedding_map import EmbeddingMap
from hf_vitret.indexing.migration.mixed_recall import mixed_recall
from tests.indexing.vectors import MODEL, unit_rows

OLD = torch.from_numpy(unit_rows(300, dim=6))


def normalized(rows):
    return torch.nn.functional.normalize(rows, dim=1)


def turned(rows, noise=0.0, dim=8):
    """Other embeddings of the same images: turned, moved and blurred."""
    generator = torch.Generator().manual_seed(5)
    matrix = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0][: rows.shape[1]]
    return normalized(rows @ matrix + 0.3 + noise * torch.randn(len(rows), dim, generator=generator))


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.5])
def test_a_ridge_map_is_that_of_scikit_learn(ridge):
    new = turned(OLD, noise=0.1)
    fitted = EmbeddingMap.fit(OLD, new, ridge=ridge)
    for inputs, outputs, mapped in ((OLD, new, fitted.to_new(OLD)), (new, OLD, fitted.to_old(new))):
        x, y = inputs.double().numpy(), outputs.double().numpy()
        scale = x.var(axis=0).mean() * len(x)
        theirs = Ridge(alpha=ridge * scale, solver="svd").fit(x, y).predict(x)
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        np.testing.assert_allclose(mapped.numpy(), theirs, atol=1e-5)


def test_a_rotation_is_that_of_scipy():
    new = normalized(torch.from_numpy(unit_rows(300, dim=6, seed=4)) + OLD.flip(1))
    fitted = EmbeddingMap.fit(OLD, new, method="orthogonal")
    theirs, _ = orthogonal_procrustes(OLD.double().numpy(), new.double().numpy())
    np.testing.assert_allclose(fitted.new_weight.numpy(), theirs, atol=1e-6)
    torch.testing.assert_close(fitted.to_old(fitted.to_new(OLD)), OLD, atol=1e-5, rtol=0)
    mapped = fitted.to_new(OLD)
    torch.testing.assert_close(mapped @ mapped.T, OLD @ OLD.T, atol=1e-5, rtol=0)


def test_rows_are_summed_in_parts(monkeypatch):
    new = turned(OLD, noise=0.1)
    whole = EmbeddingMap.fit(OLD, new)
    monkeypatch.setattr("hf_vitret.indexing.migration.embedding_map._ROWS", 7)
    torch.testing.assert_close(EmbeddingMap.fit(OLD, new).new_weight, whole.new_weight)
    torch.testing.assert_close(whole.to_new(OLD[:20]), whole.to_new(OLD)[:20])


@pytest.mark.parametrize("models", [(None, None), (MODEL, None), (None, MODEL)])
def test_what_is_saved_is_loaded(tmp_path, models):
    fitted = EmbeddingMap.fit(OLD, turned(OLD), old_model=models[0], new_model=models[1])
    fitted.save(tmp_path / "map.safetensors")
    loaded = EmbeddingMap.load(tmp_path / "map.safetensors")
    assert (loaded.old_model, loaded.new_model) == models
    assert torch.equal(loaded.to_new(OLD), fitted.to_new(OLD))
    assert torch.equal(loaded.to_old(turned(OLD)), fitted.to_old(turned(OLD)))
    assert [path.name for path in tmp_path.iterdir()] == ["map.safetensors"]


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": OLD}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="expected the tensors new_weight"):
        EmbeddingMap.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path, content):
    (tmp_path / "map.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a file that EmbeddingMap\.save wrote"):
        EmbeddingMap.load(tmp_path / "map.safetensors")


def test_maps_of_dimensions_that_do_not_fit_are_refused(tmp_path):
    fitted = EmbeddingMap.fit(OLD, turned(OLD))
    replace(fitted, old_weight=fitted.old_weight[:5]).save(tmp_path / "map.safetensors")
    with pytest.raises(ValueError, match="from one dimension to another and its inverse"):
        EmbeddingMap.load(tmp_path / "map.safetensors")


def test_another_new_model_is_refused():
    fitted = EmbeddingMap.fit(OLD, turned(OLD), new_model=MODEL)
    fitted.check_new_model(replace(MODEL, name="copy", revision=None))
    with pytest.raises(ValueError, match=r"the map's new model, user/model; got those of other: .*other weights"):
        fitted.check_new_model(replace(MODEL, name="other", weights_sha256="0"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new": OLD[:5]}, "300 old and 5 new"),
        ({"method": "neural"}, "ridge, orthogonal; got 'neural'"),
        ({"ridge": -1.0}, "0 or more; got -1"),
        ({"old": OLD[:3], "new": OLD[:3], "ridge": 0.0}, "vary in all 6 dimensions; got 3"),
        ({"old": OLD * torch.nan}, "old must be finite"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingMap.fit(**({"old": OLD, "new": OLD} | change))


def test_another_dimension_is_refused():
    fitted = EmbeddingMap.fit(OLD, turned(OLD))
    with pytest.raises(
        ValueError, match="expected new embeddings of 8 dimensions, for which the map was fitted; got 6"
    ):
        fitted.to_old(OLD)


def labelled(seed):
    """Forty classes of five images around their centres."""
    labels = np.repeat(np.arange(40), 5)
    noise = unit_rows(200, dim=6, seed=seed + 1)
    return normalized(torch.from_numpy(unit_rows(40, dim=6, seed=seed)[labels] + 0.35 * noise)), labels


def naive_recall(queries, gallery, labels, k):
    scores = (queries @ gallery.T).fill_diagonal_(-2)
    found = scores.argsort(dim=1, descending=True)[:, :k].numpy()
    return (labels[found] == labels[:, None]).any(axis=1).mean()


def test_recall_of_each_way_is_that_of_a_plain_search():
    fitted = EmbeddingMap.fit(OLD, turned(OLD))
    old, labels = labelled(seed=20)
    new = turned(old)
    recall = mixed_recall(fitted, old, new, labels, ks=(1, 5), share_new=0.25, seed=3)
    mapped, back = fitted.to_new(old), fitted.to_old(new)
    for k in (1, 5):
        for way, queries, gallery in (
            ("old", old, old),
            ("queries_mapped", back, old),
            ("index_mapped", new, mapped),
            ("new", new, new),
        ):
            assert recall.recalls[way][f"recall_at_{k}"] == pytest.approx(naive_recall(queries, gallery, labels, k))
    assert list(recall.recalls) == ["old", "queries_mapped", "index_mapped", "mixed", "new"]
    assert recall.table().splitlines()[0].split() == ["R@1", "R@5"]
    assert recall.table().endswith("mixed: 25 % embedded again")


@pytest.mark.parametrize(("share", "same_as"), [(0.0, "index_mapped"), (1.0, "new")])
def test_the_ends_of_a_move(share, same_as):
    fitted = EmbeddingMap.fit(OLD, turned(OLD, noise=0.3))
    old, labels = labelled(seed=30)
    recalls = mixed_recall(fitted, old, turned(old, noise=0.3), labels, share_new=share).recalls
    assert recalls["mixed"] == recalls[same_as]


def test_overlap_of_each_way_is_that_of_a_plain_search():
    fitted = EmbeddingMap.fit(OLD, turned(OLD, noise=0.3))
    old, _ = labelled(seed=40)
    new = turned(old, noise=0.3)
    recalls = mixed_recall(fitted, old, new, None, ks=(1, 7)).recalls

    def found(queries, gallery, k):
        return (queries @ gallery.T).fill_diagonal_(-2).argsort(dim=1, descending=True)[:, :k].tolist()

    ways = {"old": (old, old), "queries_mapped": (fitted.to_old(new), old), "index_mapped": (new, fitted.to_new(old))}
    for k in (1, 7):
        assert recalls["new"][f"overlap_at_{k}"] == 1
        for way, (queries, gallery) in ways.items():
            pairs = zip(found(queries, gallery, k), found(new, new, k))
            share = np.mean([len(set(ours) & set(theirs)) / k for ours, theirs in pairs])
            assert recalls[way][f"overlap_at_{k}"] == pytest.approx(share, abs=1e-6)


def test_a_share_out_of_range_is_refused():
    old, labels = labelled(seed=20)
    with pytest.raises(ValueError, match="from 0 to 1; got 2"):
        mixed_recall(EmbeddingMap.fit(OLD, OLD), old, old, labels, share_new=2)
