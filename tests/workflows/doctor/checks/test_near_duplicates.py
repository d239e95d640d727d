"""Near duplicates agree with a naive loop over all pairs, and many equal hashes do not cost a comparison per pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitret.workflows.doctor.checks import near_duplicates
from hf_vitret.workflows.doctor.checks.disjoint_sets import DisjointSets
from hf_vitret.workflows.doctor.checks.near_duplicates import count_bits, join_near_duplicates

from .test_disjoint_sets import naive_groups


def naive(hashes, thumbnails, numbers, max_distance, min_correlation):
    vectors = [thumbnail.ravel().astype(float) for thumbnail in thumbnails]
    return [
        (one, other)
        for index, one in enumerate(numbers)
        for other in numbers[index + 1 :]
        if bin(int(hashes[one]) ^ int(hashes[other])).count("1") <= max_distance
        and np.corrcoef(vectors[one], vectors[other])[0, 1] >= min_correlation
    ]


def found_groups(hashes, thumbnails, numbers, max_distance, min_correlation, **options):
    sets = DisjointSets(len(hashes))
    join_near_duplicates(
        sets, hashes, thumbnails, numbers, max_distance=max_distance, min_correlation=min_correlation, **options
    )
    return [group.tolist() for group in sets.groups()]


def draw_case(seed, num_images, num_motifs):
    """Draw hashes around `num_motifs` centres, and thumbnails around as many other centres, with independent noise."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**63, num_motifs, dtype=np.uint64)[generator.integers(num_motifs, size=num_images)]
    for _ in range(3):  # up to three bits are flipped
        hashes = hashes ^ (np.uint64(1) << generator.integers(0, 64, num_images).astype(np.uint64))
    motifs = generator.integers(0, 256, (num_motifs, 16, 16, 3))
    noise = generator.normal(scale=15, size=(num_images, 16, 16, 3))
    thumbnails = (motifs[generator.integers(num_motifs, size=num_images)] + noise).clip(0, 255).astype(np.uint8)
    return hashes, thumbnails


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 5), st.integers(0, 10), st.booleans())
def test_any_tiles_find_what_a_naive_loop_finds(seed, num_images, num_motifs, max_distance, as_product):
    hashes, thumbnails = draw_case(seed, num_images, num_motifs)
    numbers = np.flatnonzero(np.random.default_rng(seed).random(num_images) < 0.8)
    expected = naive_groups(num_images, naive(hashes, thumbnails, numbers, max_distance, 0.9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_ROWS", 1 + seed % 7)
        patch.setattr(near_duplicates, "_COLUMNS", 1 + seed % 11)
        if as_product:
            patch.setattr(near_duplicates, "_MANY", 0)
        assert found_groups(hashes, thumbnails, numbers, max_distance, 0.9) == expected


def test_larger_than_a_tile():
    hashes, thumbnails = draw_case(1, 300, 40)
    expected = naive_groups(300, naive(hashes, thumbnails, range(300), 6, 0.9))
    assert len(expected) > 20
    assert found_groups(hashes, thumbnails, np.arange(300), 6, 0.9) == expected


@pytest.mark.parametrize("many", [0, 10_000])
def test_equal_thumbnails_correlate_by_one(monkeypatch, many):
    """Each of 100 thumbnails is grouped with its copy, in spite of rounding in float32."""
    monkeypatch.setattr(near_duplicates, "_MANY", many)
    thumbnails = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), dtype=np.uint8).repeat(2, axis=0)
    expected = [[2 * pair, 2 * pair + 1] for pair in range(100)]
    assert found_groups(np.zeros(200, np.uint64), thumbnails, np.arange(200), 0, 1.0) == expected


def test_progress_counts_every_image():
    counts = []
    hashes, thumbnails = draw_case(0, 150, 3)
    found_groups(hashes, thumbnails, np.arange(150), 4, 0.9, advance=counts.append)
    assert sum(counts) == 150


@pytest.mark.parametrize("looks", ["same", "different"])
def test_a_flood_of_one_hash_compares_few_pairs(monkeypatch, looks):
    """All of 20 million pairs have equal hashes, and their thumbnails are never gathered pair by pair.

    Gathering would copy 768 bytes twice for each pair. If all thumbnails are equal, almost none is compared; if they
    differ, all are compared as matrix products.
    """
    num_images = 6_400
    thumbnails = np.random.default_rng(0).integers(0, 256, (num_images, 16, 16, 3), dtype=np.uint8)
    if looks == "same":
        thumbnails[:] = thumbnails[0]
    gathered, standardized = [], []
    correlate, standardize = near_duplicates.correlations, near_duplicates.standardize
    monkeypatch.setattr(
        near_duplicates, "correlations", lambda one, other: gathered.append(len(one)) or correlate(one, other)
    )
    monkeypatch.setattr(
        near_duplicates, "standardize", lambda some: standardized.append(len(some)) or standardize(some)
    )
    groups = found_groups(np.zeros(num_images, np.uint64), thumbnails, np.arange(num_images), 8, 0.98)
    assert groups == ([list(range(num_images))] if looks == "same" else [])
    assert sum(gathered) < 100 * num_images
    assert sum(standardized) <= (2 * 4_160 if looks == "same" else 100 * num_images)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_bits_are_counted_with_either_numpy(values):
    expected = [bin(value).count("1") for value in values]
    array = np.array(values, dtype=np.uint64)
    assert count_bits(array).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(np, "bitwise_count", raising=False)  # as in numpy 1.26
        assert count_bits(array).tolist() == expected
        assert count_bits(array[None, ::-1]).tolist() == [expected[::-1]]
