"""The documented properties of the sampler, checked on every batch that it yields."""

import numpy as np
import pytest

from hf_vitret import ClassBalancedSampler


def labels_of(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)) * 7 + 3, sizes)
    return np.random.default_rng(0).permutation(labels)


def batches_of(sampler: ClassBalancedSampler) -> np.ndarray:
    return np.array(list(sampler)).reshape(-1, sampler.batch_size)


@pytest.mark.parametrize("seed", range(40))
def test_any_class_sizes_are_covered_without_repeats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images_per_class = int(rng.integers(2, 6))
    sizes = rng.integers(1, rng.integers(3, 30), rng.integers(8, 60)).tolist()
    labels = labels_of(sizes)
    capacity = sum(min(images_per_class, size) for size in sizes if size > 1)
    batch_size = images_per_class * max(1, capacity // images_per_class // int(rng.integers(1, 5)))
    sampler = ClassBalancedSampler(labels, batch_size, images_per_class, seed)
    pairable = {row for row, label in enumerate(labels) if (labels == label).sum() > 1}
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batches = batches_of(sampler)
        assert batches.size == len(sampler)
        assert all(len(set(batch)) == batch_size for batch in batches.tolist())
        assert set(batches.ravel().tolist()) == pairable


def test_large_classes_give_exactly_p_classes_of_k_images() -> None:
    labels = labels_of([4, 5, 8, 9, 13, 30] * 6)
    batches = batches_of(ClassBalancedSampler(labels, batch_size=32, images_per_class=4))
    for batch in batches:
        assert np.unique(labels[batch], return_counts=True)[1].tolist() == [4] * 8


def test_epoch_is_no_longer_than_its_groups_need() -> None:
    sampler = ClassBalancedSampler(labels_of([6] * 40), batch_size=32, images_per_class=4)
    assert len(sampler) == 320  # 40 classes, two groups of 4 each: ten batches of 32


def test_order_depends_on_seed_and_epoch_alone() -> None:
    labels = labels_of([5] * 20)
    first, second = (ClassBalancedSampler(labels, 16, seed=1) for _ in range(2))
    first.set_epoch(3)
    list(second)  # an iteration changes no state
    second.set_epoch(3)
    assert list(first) == list(second)
    second.set_epoch(4)
    assert list(first) != list(second)
    assert list(first) != list(ClassBalancedSampler(labels, 16, seed=2))


def test_parts_of_a_batch_hold_whole_groups() -> None:
    """accelerate gives each rank a consecutive part of a batch, which should hold whole groups of a class."""
    labels = labels_of([8] * 30)
    parts = np.array(list(ClassBalancedSampler(labels, batch_size=32, images_per_class=4))).reshape(-1, 8)
    for part in parts:
        assert np.unique(labels[part], return_counts=True)[1].tolist() == [4, 4]


def test_single_images_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    sampler = ClassBalancedSampler([0, 0, 1, 2, 2, 3], batch_size=4, images_per_class=2)
    assert set(sampler) == {0, 1, 3, 4}
    assert sampler.num_singletons == 2
    assert "2 classes have a single image" in caplog.text


def test_too_few_classes_are_counted_and_the_largest_batch_is_named() -> None:
    with pytest.raises(ValueError, match=r"64 images needs 16 classes.*5 classes.*at most 20"):
        ClassBalancedSampler(labels_of([6] * 5), batch_size=64, images_per_class=4)


@pytest.mark.parametrize(
    ("batch_size", "images_per_class", "message"),
    [(64, 1, "at least 2"), (63, 4, "multiple of images_per_class"), (0, 4, "multiple of images_per_class")],
)
def test_bad_settings(batch_size: int, images_per_class: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassBalancedSampler(labels_of([4] * 100), batch_size, images_per_class)
