"""Augmentations make uint8 crops of the requested size from images of every mode and size."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from hf_vitret.training.batches.transforms import TrainTransform

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]


@pytest.mark.parametrize("augmentation", ["random_crop", "random_resized_crop"])
@pytest.mark.parametrize("size", [(1, 1), (6, 300), (64, 48)])
def test_any_size_gives_the_crop(augmentation: str, size: tuple[int, int]) -> None:
    crop = TrainTransform(augmentation, image_size=24, resize_size=32)(Image.new("RGB", size, "red"), seed=0)
    assert crop.dtype == torch.uint8
    assert crop.shape == (3, 24, 24)
    assert (crop.float().mean(dim=(1, 2)) == torch.tensor([255.0, 0.0, 0.0])).all()


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_gives_the_crop(mode: str) -> None:
    crop = TrainTransform(image_size=24, resize_size=32)(Image.new(mode, (40, 30)), seed=0)
    assert crop.shape == (3, 24, 24)


def test_random_crop_shows_the_short_side_whole_at_its_scale() -> None:
    """A ramp of 128 x 64 pixels is resized to 64 x 32: a crop of 32 x 32 keeps the slope of the resized ramp."""
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1))).convert("RGB")  # 128 x 64
    crop = TrainTransform(image_size=32, resize_size=32, flip=0)(ramp, seed=0)[0].float()
    steps = crop[16, 2:-2].diff()
    assert steps.min() >= 3
    assert steps.max() <= 5  # a slope of 2 a pixel at a width of 128 is one of 4 at a width of 64


def test_square_resize_squashes() -> None:
    image = Image.new("RGB", (100, 20), "white")
    image.paste("black", (0, 0, 50, 20))
    crop = TrainTransform(image_size=16, resize_size=16, resize_mode="square", flip=0)(image, 0)
    assert (crop[:, :, :7] == 0).all()
    assert (crop[:, :, 9:] == 255).all()


def test_flip_is_a_probability() -> None:
    image = Image.new("RGB", (16, 16), "white")
    image.paste("black", (0, 0, 8, 16))
    always = TrainTransform(image_size=16, resize_size=16, flip=1)(image, 0)
    never = TrainTransform(image_size=16, resize_size=16, flip=0)(image, 0)
    assert torch.equal(always, never.flip(2))


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize_size", [48, 40])  # the image has this size already, or is resized
def test_random_crops_are_cut_from_the_resized_image(resize_size: int) -> None:
    """Every crop is found at one position of the image that torchvision resizes, and all positions are drawn."""
    resized = v2.functional.resize(
        v2.functional.pil_to_tensor(PICTURE), [resize_size], v2.InterpolationMode.BICUBIC, antialias=True
    )
    crops = resized.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, rows, columns, 32, 32)
    transform = TrainTransform(image_size=32, resize_size=resize_size, flip=0)
    positions = set()
    for seed in range(60):
        is_same = (crops == transform(PICTURE, seed)[:, None, None]).flatten(3).all(3).all(0)  # (rows, columns)
        ((top, left),) = is_same.nonzero().tolist()
        positions.add((top, left))
    rows, columns = resized.shape[1] - 31, resized.shape[2] - 31
    assert {0, rows - 1} <= {top for top, _ in positions}
    assert {0, columns - 1} <= {left for _, left in positions}
    assert len(positions) > 30


def test_random_resized_crops_are_of_the_sizes_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops have 20 to 100% of the area and sides of at most 4 to 3, and are resized as torchvision resizes them."""
    boxes = []
    crop = Image.Image.crop

    def observed(self: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        boxes.append(box)
        return crop(self, box)

    monkeypatch.setattr(Image.Image, "crop", observed)
    transform = TrainTransform("random_resized_crop", image_size=24, flip=0)
    for seed in range(300):
        pixels = transform(PICTURE, seed)
        left, top, right, bottom = boxes[-1]
        expected = v2.functional.resized_crop(
            v2.functional.pil_to_tensor(PICTURE),
            *(top, left, bottom - top, right - left),
            size=[24, 24],
            interpolation=v2.InterpolationMode.BICUBIC,
            antialias=True,
        )
        assert torch.equal(pixels, expected)
    sides = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])  # (300, 2)
    shares = sides.prod(1) / (60 * 48)
    assert 0.18 < shares.min() < 0.25
    assert 0.9 < shares.max() <= 1
    ratios = sides[:, 0] / sides[:, 1]
    assert 0.7 < ratios.min() < 0.8
    assert 1.25 < ratios.max() < 1.4
    assert all(0 <= left < right <= 60 and 0 <= top < bottom <= 48 for left, top, right, bottom in boxes)


def test_a_crop_larger_than_the_image_repeats_its_edges() -> None:
    pixels = TrainTransform(image_size=64, resize_size=48, flip=0)(PICTURE, 0)
    assert torch.equal(pixels[:, :8], pixels[:, 8:9].expand(-1, 8, -1))
    assert torch.equal(pixels[:, 56:], pixels[:, 55:56].expand(-1, 8, -1))


def test_a_seed_decides_all() -> None:
    transform = TrainTransform("random_resized_crop", image_size=24)
    crops = [transform(PICTURE, seed) for seed in (1, 1, 2)]
    assert torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], crops[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"augmentation": "mixup"}, "random_crop, random_resized_crop; got 'mixup'"), ({"flip": 1.5}, "0 to 1; got 1.5")],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainTransform(**settings)
