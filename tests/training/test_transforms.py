"""Augmentations give uint8 crops of the asked size from images of every mode and size."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_vitret.training.transforms import TrainTransform

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]


@pytest.mark.parametrize("augmentation", ["random_crop", "random_resized_crop"])
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (64, 48)])
def test_any_size_gives_the_crop(augmentation: str, size: tuple[int, int]) -> None:
    crop = TrainTransform(augmentation, image_size=24, resize_size=32)(Image.new("RGB", size, "red"))
    assert crop.dtype == torch.uint8
    assert crop.shape == (3, 24, 24)
    assert (crop.float().mean(dim=(1, 2)) == torch.tensor([255.0, 0.0, 0.0])).all()


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_gives_the_crop(mode: str) -> None:
    crop = TrainTransform(image_size=24, resize_size=32)(Image.new(mode, (40, 30)))
    assert crop.shape == (3, 24, 24)


def test_random_crop_shows_the_short_side_whole_at_its_scale() -> None:
    """A horizontal ramp, 64 wide, resized to 32: a crop of 32 x 32 out of 64 x 32 keeps the slope of the ramp."""
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1))).convert("RGB")  # 128 x 64
    torch.manual_seed(0)
    crop = TrainTransform(image_size=32, resize_size=32, flip=0)(ramp)[0].float()
    steps = crop[16, 2:-2].diff()
    assert steps.min() >= 3
    assert steps.max() <= 5  # 2 a pixel at 128 wide is 4 at 64 wide


def test_square_resize_squashes() -> None:
    image = Image.new("RGB", (100, 20), "white")
    image.paste("black", (0, 0, 50, 20))
    crop = TrainTransform(image_size=16, resize_size=16, resize_mode="square", flip=0)(image)
    assert (crop[:, :, :7] == 0).all()
    assert (crop[:, :, 9:] == 255).all()


def test_flip_is_a_probability() -> None:
    image = Image.new("RGB", (16, 16), "white")
    image.paste("black", (0, 0, 8, 16))
    always = TrainTransform(image_size=16, resize_size=16, flip=1)(image)
    never = TrainTransform(image_size=16, resize_size=16, flip=0)(image)
    assert torch.equal(always, never.flip(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"augmentation": "mixup"}, "random_crop, random_resized_crop; got 'mixup'"), ({"flip": 1.5}, "0 to 1; got 1.5")],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainTransform(**settings)
