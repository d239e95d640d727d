"""The hash agrees with a naive transform, is stable under recompression, and separates different images."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hf_vitret.workflows.doctor.checks.perceptual_hash import GRID, correlations, perceptual_hash, shrink, thumbnail

from ..pictures import encode, picture


def naive_hash(grid):
    grey = np.asarray(grid.convert("L"), dtype=float)
    coefficients = [
        sum(
            grey[y, x] * math.cos(math.pi * (2 * y + 1) * v / 64) * math.cos(math.pi * (2 * x + 1) * u / 64)
            for y in range(32)
            for x in range(32)
        )
        for v in range(8)
        for u in range(8)
    ]
    median = sorted(coefficients[1:])[31]
    return int("".join(str(int(value > median)) for value in coefficients), 2)


def distance(one, other):
    return bin(perceptual_hash(shrink(one))[0] ^ perceptual_hash(shrink(other))[0]).count("1")


def correlation(one, other):
    return correlations(thumbnail(shrink(one))[None], thumbnail(shrink(other))[None])[0]


def as_jpeg(image, quality):
    return Image.open(io.BytesIO(encode(image, "JPEG", quality=quality))).convert("RGB")


@pytest.mark.parametrize("seed", range(3))
def test_the_hash_is_that_of_a_naive_transform(seed):
    grid = shrink(picture(seed, (211, 97)))
    assert grid.size == (GRID, GRID)
    assert perceptual_hash(grid) == (naive_hash(grid), False)


@pytest.mark.parametrize("seed", range(20))
def test_copies_are_near_and_other_pictures_are_not(seed):
    image = picture(seed, (200, 150))
    copies = [
        as_jpeg(image, 50),
        image.resize((100, 75), Image.Resampling.LANCZOS),
        ImageEnhance.Contrast(image).enhance(0.8),
    ]
    for copy in copies:
        assert distance(image, copy) <= 8
        assert correlation(image, copy) >= 0.98
    other = picture(seed + 1000, (200, 150))
    assert distance(image, other) > 8
    assert correlation(image, other) < 0.9


def test_the_thumbnail_knows_colours_that_the_hash_does_not():
    red, green, blue = picture(0).split()
    turned = Image.merge("RGB", (blue, red, green))
    assert correlation(picture(0), turned) < 0.9


@pytest.mark.parametrize("noise", [0, 1])
def test_plain_pictures_are_flat(noise):
    values = 200 + np.random.default_rng(0).integers(-noise, noise + 1, (64, 64, 3))
    assert perceptual_hash(shrink(Image.fromarray(values.astype(np.uint8))))[1]


def test_a_thumbnail_is_the_mean_of_its_cells():
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = values.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(thumbnail(shrink(Image.fromarray(values))) - means).max() <= 1.5


def test_correlations_are_those_of_numpy():
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 256, (2, 5, 16, 16, 3), dtype=np.uint8)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, other)]
    np.testing.assert_allclose(correlations(one, other), expected, atol=1e-5)
    plain = np.full((1, 16, 16, 3), 7, dtype=np.uint8)
    assert correlations(plain, one[:1])[0] == 0
