"""Measures of spread against scikit-learn and loops over all pairs, and figures by the data that they draw."""

import doctest
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from hf_vitret.evaluation.spread import measures as spread_module
from hf_vitret.evaluation.spread.measures import Spread, measure_spread


def test_examples() -> None:
    result = doctest.testmod(spread_module)
    assert result.attempted > 0
    assert result.failed == 0


def _pairs(embeddings, labels):
    """Return the cosines of all pairs of the same class and of different classes, from a loop in float64."""
    rows = embeddings.double()
    found = {True: [], False: []}
    for first in range(len(rows)):
        for second in range(first):
            found[bool(labels[first] == labels[second])].append(float(rows[first] @ rows[second]))
    return found[True], found[False]


def _random(num_rows: int = 90, dim: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 12, (num_rows,), generator=generator)
    labels[0] = 50
    rows = torch.randn(60, dim, generator=generator)[labels] + torch.randn(num_rows, dim, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1), labels


@pytest.mark.parametrize("num_pairs_at_once", [7, 16_384])
def test_all_pairs_are_those_of_the_loop(num_pairs_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_module, "_PAIRS", num_pairs_at_once)
    embeddings, labels = _random()
    spread = measure_spread(embeddings, labels, num_bins=23)
    positive, negative = _pairs(embeddings, labels)
    edges = np.linspace(-1, 1, 24)
    assert np.array_equal(spread.positive_cosines, np.histogram(positive, edges)[0])
    assert np.array_equal(spread.negative_cosines, np.histogram(negative, edges)[0])
    assert spread.mean_positive_cosine == pytest.approx(np.mean(positive), abs=1e-6)
    assert spread.mean_negative_cosine == pytest.approx(np.mean(negative), abs=1e-6)
    distances = torch.cdist(embeddings.double(), embeddings.double()).fill_diagonal_(torch.inf).amin(dim=1)
    torch.testing.assert_close(spread.nearest_distances, distances.float(), atol=1e-6, rtol=0)


def test_energy_is_that_of_scikit_learn() -> None:
    embeddings, labels = _random()
    energy = measure_spread(embeddings, labels).cumulative_energy
    ratios = SklearnPCA().fit(embeddings.double().numpy()).explained_variance_ratio_
    np.testing.assert_allclose(energy, ratios.cumsum(), atol=1e-12)


def test_drawn_pairs_follow_the_seed_and_the_distribution() -> None:
    embeddings, labels = _random(400)
    whole = measure_spread(embeddings, labels)
    drawn = measure_spread(embeddings, labels, max_pairs=3_000, seed=1)
    again = measure_spread(embeddings, labels, max_pairs=3_000, seed=1)
    other = measure_spread(embeddings, labels, max_pairs=3_000, seed=2)
    assert torch.equal(drawn.negative_cosines, again.negative_cosines)
    assert not torch.equal(drawn.negative_cosines, other.negative_cosines)
    for name in ("positive", "negative"):
        counts = getattr(drawn, f"{name}_cosines")
        assert int(counts.sum()) == 3_000
        expected = getattr(whole, f"{name}_cosines")
        gap = (counts.cumsum(dim=0) / 3_000 - expected.cumsum(dim=0) / expected.sum()).abs().max()
        assert float(gap) < 1.95 / 3_000**0.5  # critical value of the Kolmogorov-Smirnov test at 0.1 percent
        # The standard deviation of a mean of 3,000 cosines is 0.007 here.
        assert getattr(drawn, f"mean_{name}_cosine") == pytest.approx(getattr(whole, f"mean_{name}_cosine"), abs=0.03)


@pytest.mark.parametrize("most", [10**9, 500])
def test_drawn_pairs_are_of_one_class_or_of_two(most: int) -> None:
    codes = torch.tensor([5, 1, 5, 5, 9, 1, 7, 7, 7, 7] * 4)
    pairs = spread_module._Pairs(codes, np.random.default_rng(0), most)
    for is_same, (first, second) in ((True, pairs.positive()), (False, pairs.negative())):
        assert ((codes[first] == codes[second]) == is_same).all()
        assert (first != second).all()
        found = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
        every = sum((codes[a] == codes[b]) == is_same for a in range(40) for b in range(a))
        assert len(found) == len(first) == every if most > 500 else len(first) == min(most, every)


def test_duplicates_are_at_distance_zero() -> None:
    embeddings, labels = _random()
    distances = measure_spread(
        torch.cat([embeddings, embeddings[:3]]), torch.cat([labels, labels[:3]])
    ).nearest_distances
    assert (distances == 0).sum() == 6


def test_numbers_of_components_and_the_summary() -> None:
    embeddings, labels = _random()
    spread = measure_spread(embeddings, labels)
    for energy in (0.5, 0.9, 1.0):
        enough = spread.num_components(energy)
        assert spread.cumulative_energy[enough - 1] >= energy - 1e-9
        assert enough == 1 or spread.cumulative_energy[enough - 2] < energy
    with pytest.raises(ValueError, match="above 0 and up to 1; got 90"):
        spread.num_components(90)
    summary = spread.summary()
    assert summary["components_for_90_percent"] == spread.num_components(0.9)
    assert summary["mean_nearest_distance"] == pytest.approx(float(spread.nearest_distances.mean()))


@pytest.mark.parametrize(
    ("embeddings", "labels", "settings", "message"),
    [
        (torch.eye(3), [1, 2], {}, "labels must have one label for each of the 3 embeddings, got 2"),
        (3 * torch.eye(3), [1, 2, 2], {}, "unit norm; got norms from 3 to 3"),
        (torch.eye(3), [1, 2, 2], {"num_bins": 0}, "num_bins must be at least 1, got 0"),
        (torch.eye(3), [1, 2, 2], {"max_pairs": 0}, "max_pairs must be at least 1, got 0"),
        (torch.eye(3)[[0, 0]], [1, 2], {}, "rows that differ; all 2 are equal"),
    ],
)
def test_wrong_input_is_named(embeddings, labels, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        measure_spread(embeddings, labels, **settings)


@pytest.fixture
def spreads() -> dict[str, Spread]:
    embeddings, labels = _random()
    pulled = torch.nn.functional.normalize(embeddings + 0.5, dim=1)
    return {"IRT_L": measure_spread(pulled, labels), "IRT_R": measure_spread(embeddings, labels)}


def test_the_picture_shows_the_numbers(spreads: dict[str, Spread], tmp_path) -> None:
    from hf_vitret.evaluation.spread.figures import draw_spread

    uses_pyplot = "matplotlib.pyplot" in sys.modules
    figure = draw_spread(spreads)
    strips, energy, distance = figure.axes[:2], figure.axes[2], figure.axes[3]
    for number, (name, spread) in enumerate(spreads.items()):
        line = energy.lines[number]
        assert line.get_label() == name
        np.testing.assert_allclose(line.get_ydata(), 100 * spread.cumulative_energy.numpy())
        assert list(line.get_xdata()) == list(range(1, 9))
        curve = distance.lines[number]
        median = np.interp(50, curve.get_ydata(), curve.get_xdata())
        assert median == pytest.approx(float(spread.nearest_distances.double().quantile(0.5)), abs=1e-3)
        assert strips[number].get_title(loc="left") == name
        densities = [patch.get_data().values for patch in strips[number].patches]
        widths = np.diff(spread.bin_edges)
        for density, counts in zip(densities[::2], (spread.negative_cosines, spread.positive_cosines), strict=True):
            np.testing.assert_allclose(density * widths, counts / counts.sum())
    assert [text.get_text() for text in energy.get_legend().get_texts()] == list(spreads)
    for axes in figure.axes:
        assert axes.get_ylabel()
    assert all(axes.get_xlabel() for axes in (strips[-1], energy, distance))
    colors = [[line.get_color() for line in axes.lines] for axes in (energy, distance)]
    assert colors[0] == colors[1]
    assert len(set(colors[0])) == 2
    figure.savefig(tmp_path / "spread.png", dpi=50)
    assert (tmp_path / "spread.png").read_bytes().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == uses_pyplot


def test_pictures_of_no_model_and_of_too_many(spreads: dict[str, Spread]) -> None:
    from hf_vitret.evaluation.spread.figures import draw_spread

    for names in ("", "abcdefg"):
        with pytest.raises(ValueError, match=f"1 to 6 models, .* got {len(names)}"):
            draw_spread(dict.fromkeys(names, spreads["IRT_L"]))


def test_the_extra_is_named_where_it_is_missing(spreads: dict[str, Spread], monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_vitret.evaluation.spread.figures import draw_spread

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install \"hf_vitret\[plots\]\""):
        draw_spread(spreads)
