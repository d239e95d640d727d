"""Embedding a data set is embedding its images one by one, whatever their size, mode or place in a batch."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image
from torch import nn

from hf_vitret import embed_images
from hf_vitret.data.images import to_rgb

RNG = np.random.default_rng(0)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """Draw one image of each kind that catalogues hold, no two of one size."""
    palette = Image.fromarray(noise(40, 52)).quantize(16)
    palette.info["transparency"] = 3
    return [
        Image.fromarray(noise(1, 1)),
        Image.fromarray(noise(48, 30)),
        Image.fromarray(noise(33, 70, 1)[..., 0]),
        Image.fromarray(noise(37, 37, 4)),
        Image.fromarray(noise(64, 41)).convert("CMYK"),
        palette,
        Image.fromarray(noise(35, 90, 1)[..., 0].astype(np.uint16) * 257),
        Image.fromarray(noise(20, 21)).convert("1"),
        Image.fromarray(noise(50, 36)).convert("LA"),
    ]


@pytest.fixture
def expected(tiny_model: nn.Module, images: list[Image.Image]) -> torch.Tensor:
    """Embed image by image, through the image processor's own rescaling and normalisation."""
    rows = []
    with torch.no_grad():
        for image in images:
            pixels = tiny_model.image_processor(to_rgb(image), return_tensors="pt")["pixel_values"]
            assert pixels.dtype == torch.float32
            rows.append(tiny_model(pixels).embeddings[0])
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_equals_the_loop_over_single_images(
    tiny_model: nn.Module, images: list[Image.Image], expected: torch.Tensor, batch_size: int
) -> None:
    embeddings = embed_images(tiny_model, images, batch_size=batch_size, progress=False)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
    # The images are far enough apart for a swap to be seen.
    assert (torch.cdist(expected, expected) + torch.eye(len(images))).min() > 1e-3


def test_reads_a_data_set(tiny_model: nn.Module, images: list[Image.Image], expected: torch.Tensor) -> None:
    rows = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, "TIFF" if image.mode == "CMYK" else "PNG")
        rows.append({"name": "any", "image": {"bytes": stream.getvalue(), "path": None}})
    dataset = Dataset.from_list(rows, features=Features({"name": Value("string"), "image": ImageFeature()}))
    embeddings = embed_images(tiny_model, dataset, batch_size=3, progress=False)
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)


def test_worker_processes_keep_the_order(
    tiny_model: nn.Module, images: list[Image.Image], expected: torch.Tensor
) -> None:
    embeddings = embed_images(tiny_model, images, batch_size=2, num_workers=2, progress=False)
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("was_training", [True, False])
def test_dropout_is_off_and_the_mode_comes_back(tiny_model: nn.Module, images: list, was_training: bool) -> None:
    tiny_model.backbone.embeddings.dropout = nn.Dropout(0.5)
    tiny_model.train(was_training)
    first, second = (embed_images(tiny_model, images, progress=False) for _ in range(2))
    assert torch.equal(first, second)
    assert tiny_model.training == was_training
    assert tiny_model.backbone.training == was_training


def test_mode_comes_back_after_an_error(tiny_model: nn.Module) -> None:
    tiny_model.train()
    with pytest.raises(AttributeError):
        embed_images(tiny_model, [{"image": None}], progress=False)
    assert tiny_model.training


def test_bfloat16_is_near_and_still_of_unit_norm(
    tiny_model: nn.Module, images: list[Image.Image], expected: torch.Tensor
) -> None:
    embeddings = embed_images(tiny_model, images, dtype=torch.bfloat16, progress=False)
    assert embeddings.dtype == torch.float32
    assert not torch.equal(embeddings, expected)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(images)), atol=1e-6, rtol=0)
    assert (embeddings * expected).sum(dim=1).min() > 0.999


def test_a_probe_can_be_trained_on_the_embeddings(tiny_model: nn.Module, images: list[Image.Image]) -> None:
    """Tensors of inference mode cannot: autograd refuses to save them."""
    probe = nn.Linear(32, 2)
    probe(embed_images(tiny_model, images, progress=False)).sum().backward()
    assert probe.weight.grad is not None


def test_rows_that_are_not_finite_are_named(tiny_model: nn.Module, images: list[Image.Image]) -> None:
    class Diverged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.image_processor = tiny_model, tiny_model.image_processor

        def forward(self, pixels: torch.Tensor):
            output = self.model(pixels)
            output.embeddings[(pixels.float().mean(dim=(1, 2, 3)) > 254)] = torch.nan  # what is all white
            return output

    white = Image.new("RGB", (20, 20), "white")
    some = [*images[1:3], white, images[3], white]
    with pytest.raises(ValueError, match=r"2 of 5 are not, first rows \[2, 4\]: the model has diverged"):
        embed_images(Diverged(), some, batch_size=2, progress=False)


def test_broken_weights_are_reported(tiny_model: nn.Module, images: list[Image.Image]) -> None:
    with torch.no_grad():
        next(tiny_model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=rf"{len(images)} of {len(images)} are not.*weights are damaged"):
        embed_images(tiny_model, images, progress=False)


def test_no_images(tiny_model: nn.Module) -> None:
    with pytest.raises(ValueError, match="at least one image to embed; got none"):
        embed_images(tiny_model, [])


def _with_projection(model: nn.Module) -> nn.Module:
    """Give the model's backbone a projection, which is random."""
    config = type(model.config).from_dict({**model.config.to_dict(), "embedding_dim": 12})
    torch.manual_seed(1)
    return type(model)(config).eval()


@pytest.mark.parametrize("with_projection", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_vectors_before_the_norm_become_the_embeddings(
    tiny_model: nn.Module, images: list[Image.Image], with_projection: bool, dtype: torch.dtype | None
) -> None:
    model = _with_projection(tiny_model) if with_projection else tiny_model
    vectors = embed_images(model, images, normalize=False, dtype=dtype, progress=False)
    assert vectors.shape == (len(images), 12 if with_projection else 32)
    assert vectors.dtype == torch.float32
    assert (vectors.norm(dim=1) - 1).abs().min() > 1e-2
    embeddings = embed_images(model, images, dtype=dtype, progress=False)
    torch.testing.assert_close(nn.functional.normalize(vectors, dim=1), embeddings, atol=1e-6, rtol=0)


def test_vectors_before_the_norm_of_a_checkpoint_that_brings_its_own_code(
    tiny_model: nn.Module, images: list[Image.Image], tmp_path
) -> None:
    """What `trust_remote_code` loads where the package is not there first: another class, out of the checkpoint."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    folder = tmp_path / "checkpoint"
    _with_projection(tiny_model).save_pretrained(folder)
    model = get_class_from_dynamic_module("modeling_vitret.ViTRetModel", folder).from_pretrained(folder).eval()
    assert type(model).__module__.startswith("transformers_modules")
    vectors = embed_images(model, images, normalize=False, progress=False)
    embeddings = embed_images(model, images, progress=False)
    torch.testing.assert_close(nn.functional.normalize(vectors, dim=1), embeddings, atol=1e-6, rtol=0)


def test_a_model_that_hides_what_comes_before_the_norm(tiny_model: nn.Module, images: list[Image.Image]) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.image_processor = nn.Linear(1, 1), tiny_model.image_processor

    with pytest.raises(TypeError, match="whose pool_images returns vectors before L2 normalisation; got Plain"):
        embed_images(Plain(), images, normalize=False, progress=False)
