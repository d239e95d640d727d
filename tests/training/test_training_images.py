"""An image's augmentation depends on its draw alone: not on the process, the worker or what came before."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from torch.utils.data import DataLoader

from hf_vitret import ClassBalancedSampler
from hf_vitret.training.training_images import Draw, DrawSampler, TrainingImages, collate
from hf_vitret.training.transforms import TrainTransform
from tests.training import runs


@pytest.fixture
def images() -> TrainingImages:
    dataset = runs.shapes_dataset()["train"]
    transform = TrainTransform("random_resized_crop", image_size=16, resize_size=20)
    return TrainingImages(dataset, transform, np.arange(len(dataset)) // 4)


def draws(epoch: int = 0) -> list[Draw]:
    sampler = DrawSampler(ClassBalancedSampler(np.arange(24) // 4, batch_size=8, images_per_class=2, seed=3))
    sampler.set_epoch(epoch)
    return list(sampler)


def test_rows_are_the_samplers() -> None:
    sampler = ClassBalancedSampler(np.arange(24) // 4, batch_size=8, images_per_class=2, seed=3)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert [draw.row for draw in draws(epoch)] == list(sampler)
    assert len(DrawSampler(sampler)) == len(draws())


def test_seeds_differ_between_draws_and_epochs_and_repeat_otherwise() -> None:
    seeds = [draw.seed for epoch in range(3) for draw in draws(epoch)]
    assert len(set(seeds)) == len(seeds)
    assert draws(1) == draws(1)


def test_a_draw_is_augmented_alike_whatever_the_batch(images: TrainingImages) -> None:
    some = draws()[:8]
    torch.manual_seed(1)
    together = images.__getitems__(some)
    torch.manual_seed(2)
    for draw, example in zip(reversed(some), reversed(together)):
        assert torch.equal(images[draw]["pixel_values"], example["pixel_values"])
    assert not torch.equal(images[some[0]]["pixel_values"], images[Draw(some[0].row, 5)]["pixel_values"])


def test_workers_augment_like_the_main_process(images: TrainingImages) -> None:
    sampler = DrawSampler(ClassBalancedSampler(images.class_ids, batch_size=8, images_per_class=2))
    batches = [
        list(DataLoader(images, 8, sampler=sampler, collate_fn=collate, num_workers=workers)) for workers in (0, 2)
    ]
    for alone, worker in zip(*batches):
        assert torch.equal(alone["pixel_values"], worker["pixel_values"])


def test_the_models_random_numbers_go_on_undisturbed(images: TrainingImages) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    images.__getitems__(draws()[:4])
    assert torch.equal(torch.rand(3), expected)


def test_examples_carry_class_and_row(images: TrainingImages) -> None:
    batch = collate(images.__getitems__([Draw(5, 0), Draw(22, 0)]))
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    assert batch["pixel_values"].dtype == torch.uint8
    assert batch["labels"].tolist() == [1, 5]
    assert batch["rows"].tolist() == [5, 22]


def test_large_jpegs_are_augmented_as_if_decoded_at_their_size() -> None:
    """They are decoded smaller; what comes out is nearly the same crop, at the same place and scale."""
    rng = np.random.default_rng(0)
    layers = [
        Pillow.fromarray(rng.integers(0, 256, (2**n, 2**n, 3), dtype=np.uint8)).resize((900, 600)) for n in range(1, 8)
    ]
    picture = Pillow.fromarray(np.mean([np.asarray(layer, dtype=np.float32) for layer in layers], 0).astype(np.uint8))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    features = Features({"image": Image(), "label": Value("int64")})
    dataset = Dataset.from_dict({"image": [{"bytes": stream.getvalue(), "path": None}], "label": [0]}, features)
    transform = TrainTransform(image_size=48, resize_size=56)
    images = TrainingImages(dataset, transform, np.zeros(1, dtype=np.int64))
    for seed in range(8):
        pixels = images[Draw(0, seed)]["pixel_values"].float()
        torch.manual_seed(seed)
        whole = transform(Pillow.open(io.BytesIO(stream.getvalue()))).float()
        assert (pixels - whole).abs().mean() < 6
        assert (pixels - whole.flip(2)).abs().mean() > 8


@pytest.mark.parametrize("num_threads", [1, 3])
def test_threads_change_nothing(images: TrainingImages, num_threads: int) -> None:
    expected = [images[draw] for draw in draws()[:24]]
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        examples = images.__getitems__(draws()[:24])  # more than are decoded at once
    finally:
        torch.set_num_threads(before)
    assert [example["rows"] for example in examples] == [draw.row for draw in draws()[:24]]
    for example, alone in zip(examples, expected):
        assert torch.equal(example["pixel_values"], alone["pixel_values"])


def test_an_image_that_has_become_unreadable_ends_the_batch(images: TrainingImages) -> None:
    images.images = Dataset.from_dict({"image": [{"bytes": b"cut off", "path": None}] * 3})
    with pytest.raises(ValueError, match="UnidentifiedImageError"):
        images.__getitems__([Draw(row, 0) for row in range(3)])
