"""The augmentation of an image depends on its draw alone: not on the process, the worker or earlier images."""

import io
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from torch.utils.data import DataLoader

from hf_vitret import ClassBalancedSampler
from hf_vitret.training.batches.prefetched_batch import PrefetchedBatch
from hf_vitret.training.batches.training_images import Draw, DrawSampler, TrainingImages, collate
from hf_vitret.training.batches.transforms import TrainTransform
from tests.training import runs


def read(images: TrainingImages, some: list[Draw]) -> list[dict[str, Any]]:
    return [example.result() for example in images.__getitems__(some)]


@pytest.fixture
def images() -> TrainingImages:
    dataset = runs.shapes_dataset()["train"]
    transform = TrainTransform("random_resized_crop", image_size=16, resize_size=20)
    return TrainingImages(dataset, transform, np.arange(len(dataset)) // 4)


def draws(epoch: int = 0) -> list[Draw]:
    sampler = DrawSampler(ClassBalancedSampler(np.arange(24) // 4, batch_size=8, images_per_class=2, seed=3))
    sampler.set_epoch(epoch)
    return list(sampler)


def test_rows_are_those_of_the_sampler() -> None:
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
    together = read(images, some)
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


def test_augmentation_leaves_torchs_generator_unchanged(images: TrainingImages) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    read(images, draws()[:4])
    assert torch.equal(torch.rand(3), expected)


def test_examples_carry_class_and_row(images: TrainingImages) -> None:
    batch = collate(images.__getitems__([Draw(5, 0), Draw(22, 0)]))
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    assert batch["pixel_values"].dtype == torch.uint8
    assert batch["labels"].tolist() == [1, 5]
    assert batch["rows"].tolist() == [5, 22]


def test_large_jpegs_are_augmented_as_if_decoded_at_their_size() -> None:
    """They are decoded at a smaller size, and give nearly the same crop at the same position and scale."""
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
        whole = transform(Pillow.open(io.BytesIO(stream.getvalue())), seed).float()
        assert (pixels - whole).abs().mean() < 6
        assert (pixels - whole.flip(2)).abs().mean() > 8


def test_a_batch_is_made_while_its_reader_does_something_else(images: TrainingImages) -> None:
    begun, go_on = threading.Event(), threading.Event()
    transform = images.transform

    class Slow(TrainTransform):
        def of_rgb(self, image: Pillow.Image, seed: int) -> torch.Tensor:
            begun.set()
            assert go_on.wait(10)
            return transform.of_rgb(image, seed)

    some = draws()[:6]
    expected = [images[draw]["pixel_values"] for draw in some]
    images.transform = Slow(image_size=16, resize_size=20)
    batch = collate(images.__getitems__(some))
    assert isinstance(batch, PrefetchedBatch)
    assert batch.pin_memory() is batch
    assert begun.wait(10)
    go_on.set()
    assert torch.equal(batch.to("cpu")["pixel_values"], torch.stack(expected))
    assert dict(batch)["rows"].tolist() == [draw.row for draw in some]
    assert len(batch) == 3


def test_a_copy_in_another_process_has_threads_of_its_own(images: TrainingImages) -> None:
    read(images, draws()[:2])
    copied = pickle.loads(pickle.dumps(images))
    for ours, theirs in zip(read(images, draws()[:4]), read(copied, draws()[:4]), strict=True):
        assert torch.equal(ours["pixel_values"], theirs["pixel_values"])


def test_an_image_that_has_become_unreadable_ends_the_batch(images: TrainingImages) -> None:
    images.images = Dataset.from_dict({"image": [{"bytes": b"cut off", "path": None}] * 3})
    batch = collate(images.__getitems__([Draw(row, 0) for row in range(3)]))
    with pytest.raises(ValueError, match="no known format"):
        batch.to("cpu")
