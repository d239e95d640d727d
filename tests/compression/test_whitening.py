"""Learned whitening against its closed form and the steps of the authors' code, and in a saved model."""

import doctest

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import nn
from transformers import AutoModel

from hf_vitret import PCA, ViTRetModel, embed_images
from hf_vitret.compression import whitening as whitening_module
from hf_vitret.compression.whitening import LearnedWhitening
from hf_vitret.inference.projection import with_projection


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw 400 rows of 12 dimensions, of 80 objects whose images differ more in some directions, and 300 pairs."""
    generator = torch.Generator().manual_seed(0)
    objects = torch.randn(80, 12, generator=generator) * torch.linspace(2, 0.5, 12)
    spread = torch.randn(12, 12, generator=generator) * torch.linspace(0.1, 1.5, 12)
    features = objects.repeat(5, 1) + torch.randn(400, 12, generator=generator) @ spread + 3.0
    anchors = torch.randint(0, 80, (300,), generator=generator)
    positives = anchors + 80 * torch.randint(1, 5, (300,), generator=generator)
    return features, anchors, positives


def _authors_steps(features: torch.Tensor, anchors: torch.Tensor, positives: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Follow the authors' code, one column for each image: Cholesky factor, then principal directions."""
    columns = features.double().numpy().T
    mean = columns[:, anchors].mean(axis=1, keepdims=True)
    differences = columns[:, anchors] - columns[:, positives]
    projection = np.linalg.inv(np.linalg.cholesky(differences @ differences.T / differences.shape[1]))
    whitened = projection @ (columns - mean)
    values, vectors = np.linalg.eigh(whitened @ whitened.T)
    return mean, vectors[:, np.argsort(values)[::-1]].T @ projection


def test_examples() -> None:
    result = doctest.testmod(whitening_module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("dim", [None, 5])
def test_similarities_are_those_of_the_authors_steps(pairs, dim: int | None) -> None:
    features = pairs[0]
    mean, projection = _authors_steps(*pairs)
    expected = projection[:dim] @ (features.double().numpy().T - mean)
    expected = (expected / np.linalg.norm(expected, axis=0)).T
    whitening = LearnedWhitening.fit(*pairs, shrinkage=0.0)
    found = whitening.transform(features, dim).double().numpy()
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)
    np.testing.assert_allclose(whitening.components.abs().numpy(), np.abs(projection), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(whitening.mean, mean[:, 0], rtol=1e-12)
    shorter = LearnedWhitening.fit(*pairs, shrinkage=0.0, dim=dim)
    assert torch.equal(shorter.transform(features), whitening.transform(features, dim))


def test_differences_of_pairs_become_white_and_features_uncorrelated(pairs) -> None:
    features, anchors, positives = pairs
    whitening = LearnedWhitening.fit(*pairs, shrinkage=0.0)
    whitened = whitening.project(features.double()).double()
    differences = whitened[anchors] - whitened[positives]
    identity = torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(differences.T @ differences / 300, identity, atol=1e-5, rtol=0)
    covariance = whitened.T @ whitened / 400
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-4, rtol=0)
    torch.testing.assert_close(covariance.diagonal(), whitening.explained_variance, atol=0, rtol=1e-5)
    assert (whitening.explained_variance.diff() < 0).all()


def test_any_linear_map_of_the_features_is_undone(pairs) -> None:
    """Without shrinkage, the result depends on the geometry of the pairs, not on the axes of the features."""
    features, anchors, positives = pairs
    mixed = features.double() @ torch.randn(12, 12, generator=torch.Generator().manual_seed(5)).double() - 7.0
    found, expected = (
        LearnedWhitening.fit(rows, anchors, positives, shrinkage=0.0).transform(rows)
        for rows in (mixed, features.double())
    )
    torch.testing.assert_close(found @ found.T, expected @ expected.T, atol=1e-5, rtol=0)


def test_shrinkage_is_that_of_ledoit_and_wolf(pairs) -> None:
    features, anchors, positives = pairs
    for some in (slice(0, 20), slice(None)):
        expected = ledoit_wolf_shrinkage(
            (features[anchors[some]].double() - features[positives[some]].double()).numpy(), assume_centered=True
        )
        found = LearnedWhitening.fit(features, anchors[some], positives[some]).shrinkage
        assert float(found) == pytest.approx(expected, rel=1e-9)
        assert 0 < expected < 1


def test_with_full_shrinkage_it_is_a_pca_around_the_anchors(pairs) -> None:
    features, anchors, _ = pairs
    whitening = LearnedWhitening.fit(*pairs, shrinkage=1.0)
    centred = features.double() - features[anchors].double().mean(dim=0)
    directions = torch.linalg.eigh(centred.T @ centred)[1].T.flip(0)
    found = nn.functional.normalize(whitening.components, dim=1)
    torch.testing.assert_close((found * directions).sum(dim=1).abs(), torch.ones(12).double())


def test_chunks_change_nothing(pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LearnedWhitening.fit(*pairs)
    monkeypatch.setattr(whitening_module, "_ROWS", 7)
    parts = LearnedWhitening.fit(*pairs)
    torch.testing.assert_close(parts.components, whole.components, atol=1e-9, rtol=0)
    torch.testing.assert_close(whole.project(pairs[0]), parts.project(pairs[0]))


def test_a_direction_that_a_layer_norm_removes_needs_shrinkage(pairs) -> None:
    features, anchors, positives = pairs
    normed = nn.functional.layer_norm(features.double(), (12,), torch.linspace(0.5, 2.0, 12).double())
    with pytest.raises(ValueError, match=r"differ in all 12 directions; in 1 they do not.*a shrinkage above 0"):
        LearnedWhitening.fit(normed, anchors, positives, shrinkage=0.0)
    vectors = LearnedWhitening.fit(normed, anchors, positives).transform(normed)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(400))


def test_fewer_pairs_than_dimensions(pairs) -> None:
    features, anchors, positives = pairs
    with pytest.raises(ValueError, match="in 8 they do not"):
        LearnedWhitening.fit(features, anchors[:4], positives[:4], shrinkage=0.0)
    assert LearnedWhitening.fit(features, anchors[:4], positives[:4]).transform(features).isfinite().all()


def test_saved_and_loaded(pairs, tmp_path) -> None:
    whitening = LearnedWhitening.fit(*pairs, dim=5)
    whitening.save(tmp_path / "whitening.safetensors")
    loaded = LearnedWhitening.load(tmp_path / "whitening.safetensors")
    assert all(torch.equal(getattr(loaded, name), getattr(whitening, name)) for name in vars(whitening))
    PCA.fit(pairs[0]).save(tmp_path / "pca.safetensors")
    with pytest.raises(
        ValueError, match=r"expected the tensors mean, .*shrinkage in .*pca.safetensors; got components"
    ):
        LearnedWhitening.load(tmp_path / "pca.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": torch.tensor([400])}, "rows from 0 to 399 in the pairs; got 400"),
        ({"anchors": torch.tensor([0.0])}, r"expected pairs as \(num_pairs,\) int64 rows; got torch.float32"),
        ({"anchors": torch.tensor([0, 1])}, "as many anchors as positives, at least one; got 2 and 1"),
        ({"anchors": torch.tensor([1])}, "pairs that differ; in all pairs the features are equal"),
        ({"shrinkage": 1.5}, "shrinkage from 0 to 1, or None; got 1.5"),
        ({"dim": 13}, "dim from 1 to 12, the width of the features; got 13"),
    ],
)
def test_what_cannot_be_fitted_is_refused(pairs, change, message) -> None:
    settings = {"anchors": torch.tensor([0]), "positives": torch.tensor([1]), **change}
    with pytest.raises(ValueError, match=message):
        LearnedWhitening.fit(pairs[0], **settings)


def test_what_was_not_fitted_is_refused(pairs) -> None:
    whitening = LearnedWhitening.fit(*pairs, dim=5)
    with pytest.raises(ValueError, match="from 1 to 5; got 6"):
        whitening.transform(pairs[0], 6)
    with pytest.raises(ValueError, match="features of 12 dimensions, as fitted; got 3"):
        whitening.transform(pairs[0][:, :3])
    with pytest.raises(ValueError, match=r"got \(12,\), \(5, 12\) and \(4,\)"):
        LearnedWhitening(whitening.mean, whitening.components, whitening.explained_variance[:4], whitening.shrinkage)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)) for _ in range(24)]


def _with_random_projection(model: nn.Module) -> nn.Module:
    config = type(model.config).from_dict({**model.config.to_dict(), "embedding_dim": 12})
    torch.manual_seed(1)
    model = type(model)(config).eval()
    nn.init.normal_(model.projection.bias)
    return model


@pytest.mark.parametrize("has_projection", [False, True])
@pytest.mark.parametrize("kind", ["pca", "whitening"])
def test_a_model_with_the_projection_returns_its_vectors_also_when_loaded(
    tiny_model, images, tmp_path, has_projection: bool, kind: str
) -> None:
    model = _with_random_projection(tiny_model) if has_projection else tiny_model
    features = embed_images(model, images, normalize=False, progress=False)
    fitted = (
        PCA.fit(features)
        if kind == "pca"
        else LearnedWhitening.fit(features, torch.arange(12), torch.arange(12, 24), shrinkage=0.2)
    )
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    whole = with_projection(model, fitted.mean, fitted.components[:6])
    expected = fitted.transform(features, 6)
    assert expected.matmul(expected.T).fill_diagonal_(0).abs().max() < 0.99  # the images are not all alike
    whole.save_pretrained(tmp_path / "model")
    loaded = [each.from_pretrained(tmp_path / "model") for each in (ViTRetModel, AutoModel)]
    for each in (whole, *loaded):
        assert each.config.embedding_dim == each.config.output_dim == 6
        torch.testing.assert_close(embed_images(each, images, progress=False), expected, atol=1e-6, rtol=0)
    # The model itself is unchanged.
    assert model.config.embedding_dim == (12 if has_projection else None)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_what_does_not_fit_a_model_is_refused(tiny_model) -> None:
    with pytest.raises(ValueError, match=r"expected mean \(32,\) and matrix \(dim, 32\).*got \(12,\) and \(5, 12\)"):
        with_projection(tiny_model, torch.zeros(12), torch.zeros(5, 12))
    with pytest.raises(TypeError, match=r"expected a ViTRetModel.*got Linear"):
        with_projection(nn.Linear(2, 2), torch.zeros(2), torch.eye(2))
