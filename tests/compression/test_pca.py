"""PCA against scikit-learn; it must not depend on chunks, divide by rounding errors or load another file."""

import doctest

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn import decomposition

from hf_vitret.compression import pca as pca_module
from hf_vitret.compression.pca import PCA


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """Draw 300 rows of 24 dimensions with a decaying spectrum, far from the origin."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(24, 24, generator=generator)).Q
    return (torch.randn(300, 24, generator=generator) * 0.8 ** torch.arange(24)) @ rotation + 3.0


def _layer_normed(rows: torch.Tensor) -> torch.Tensor:
    weight = torch.linspace(0.5, 2.0, rows.shape[1])
    return torch.nn.functional.layer_norm(rows, rows.shape[1:], weight, weight - 1)


def test_examples() -> None:
    result = doctest.testmod(pca_module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("dim", [None, 24, 7, 1])
@pytest.mark.parametrize("whiten", [False, True])
def test_equals_scikit_learn(features: torch.Tensor, dim: int | None, whiten: bool) -> None:
    oracle = decomposition.PCA(n_components=dim, whiten=whiten, svd_solver="full").fit(features.double().numpy())
    pca = PCA.fit(features, dim)
    np.testing.assert_allclose(pca.mean, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(pca.explained_variance, oracle.explained_variance_, rtol=1e-10)
    signs = np.sign((pca.components.numpy() * oracle.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(pca.components, signs * oracle.components_, atol=1e-10)
    others = features[:50] * 1.5 - 2  # rows that are not those of the fit
    expected = oracle.transform(others.double().numpy()) * signs[:, 0]
    projected = pca.project(others, whiten=whiten)
    assert projected.dtype == torch.float32
    np.testing.assert_allclose(projected, expected, rtol=1e-5, atol=1e-5)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(pca.transform(others, whiten=whiten), expected, atol=1e-6)


def test_shorter_vectors_are_the_first_columns(features: torch.Tensor) -> None:
    whole = PCA.fit(features)
    for dim in (1, 5, 24):
        torch.testing.assert_close(whole.project(features, dim), whole.project(features)[:, :dim])
        torch.testing.assert_close(whole.transform(features, dim), PCA.fit(features, dim).transform(features))
    assert torch.equal(whole.components, PCA.fit(features, 24).components)


def test_signs_are_fixed(features: torch.Tensor) -> None:
    components = PCA.fit(features).components
    assert (components.gather(1, components.abs().argmax(dim=1, keepdim=True)) > 0).all()
    # The order of the rows changes the last digits, and must not change a sign.
    mixed = PCA.fit(features[torch.randperm(300, generator=torch.Generator().manual_seed(1))]).components
    torch.testing.assert_close(mixed, components)


def test_chunks_change_nothing(features: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PCA.fit(features)
    projected = whole.project(features)
    monkeypatch.setattr(pca_module, "_ROWS", 7)
    parts = PCA.fit(features)
    torch.testing.assert_close(parts.components, whole.components, atol=1e-10, rtol=0)
    torch.testing.assert_close(parts.explained_variance, whole.explained_variance, atol=1e-14, rtol=1e-10)
    torch.testing.assert_close(whole.project(features), projected, atol=0, rtol=1e-6)


def test_a_mean_far_away_costs_no_digits(features: torch.Tensor) -> None:
    """With a mean far from 0, the sum of squares minus the squared sum would lose eight of sixteen digits."""
    moved = features.double() + 1e4
    torch.testing.assert_close(
        PCA.fit(moved).explained_variance, PCA.fit(features).explained_variance, atol=0, rtol=1e-6
    )


def test_half_precision_is_fitted_in_float64(features: torch.Tensor) -> None:
    half = features.half()
    assert torch.equal(PCA.fit(half).components, PCA.fit(half.double()).components)


def test_the_dimension_that_a_layer_norm_removes_is_not_whitened(features: torch.Tensor) -> None:
    normed = _layer_normed(features)
    pca = PCA.fit(normed)
    assert pca.rank == 23
    assert torch.isfinite(pca.transform(normed)).all()
    whitened = pca.project(normed, 23, whiten=True)
    torch.testing.assert_close(torch.cov(whitened.T), torch.eye(23), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"from 1 to 23; got 24: the other 1 components have no variance to divide by"):
        pca.transform(normed, whiten=True)


def test_few_rows_have_few_components(features: torch.Tensor) -> None:
    assert PCA.fit(features[:9]).components.shape == (8, 24)
    with pytest.raises(
        ValueError, match=r"from 1 to 8, the number of components of 9 rows with 24 dimensions; got 9: fit on more rows"
    ):
        PCA.fit(features[:9], dim=9)


def test_saved_and_loaded(features: torch.Tensor, tmp_path) -> None:
    pca = PCA.fit(features, 5)
    pca.save(tmp_path / "pca.safetensors")
    loaded = PCA.load(str(tmp_path / "pca.safetensors"))
    assert all(torch.equal(getattr(loaded, name), getattr(pca, name)) for name in vars(pca))
    assert [path.name for path in tmp_path.iterdir()] == ["pca.safetensors"]
    save_file({"mean": pca.mean}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"expected the tensors mean, components, .* got mean$"):
        PCA.load(tmp_path / "other.safetensors")


def test_shapes_that_do_not_match_are_refused(features: torch.Tensor, tmp_path) -> None:
    pca = PCA.fit(features, 5)
    with pytest.raises(ValueError, match=r"got \(24,\), \(5, 24\) and \(4,\)"):
        PCA(pca.mean, pca.components, pca.explained_variance[:4])


@pytest.mark.parametrize(
    ("rows", "dim", "error", "message"),
    [
        (torch.ones(1, 4), None, ValueError, "at least two rows .* got 1"),
        (torch.full((5, 4), 0.1), None, ValueError, "rows that differ; all 5 are equal"),
        (torch.rand(9, 4), 5, ValueError, r"from 1 to 4, .* got 5: ask for fewer"),
        (torch.rand(9, 4), 0, ValueError, "from 1 to 4, .* got 0"),
        (torch.ones(5, 4).int(), None, TypeError, "features must be a floating-point"),
        (torch.rand(5, 4) / 0, None, ValueError, "features must be finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(rows, dim, error, message) -> None:
    with pytest.raises(error, match=message):
        PCA.fit(rows, dim)


def test_what_was_not_fitted_is_refused(features: torch.Tensor) -> None:
    pca = PCA.fit(features, 5)
    with pytest.raises(ValueError, match="features of 24 dimensions, as fitted; got 23"):
        pca.transform(features[:, :23])
    with pytest.raises(ValueError, match=r"from 1 to 5; got 6: fit with more components"):
        pca.transform(features, 6)
    with pytest.raises(ValueError, match=r"from 1 to 5; got 0"):
        pca.transform(features, 0)
