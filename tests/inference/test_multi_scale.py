"""Embedding at other sizes is embedding image by image at the size of each, whatever the batches."""

import doctest

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Sequence, Value
from datasets import Image as ImageFeature
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from hf_vitret import ViTRetConfig, ViTRetModel, embed_images
from hf_vitret.inference import multi_scale as multi_scale_module
from hf_vitret.inference.multi_scale import embed_multi_scale, fitted_size

SIZES = [(48, 30), (33, 70), (64, 64), (30, 48), (70, 33), (90, 60), (24, 15), (60, 90), (31, 31)]  # height, width


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]


def one_by_one(model: nn.Module, images: list[Image.Image], sizes: list[list[tuple[int, int]]]) -> torch.Tensor:
    """Embed each image at each of its sizes, height and width, in float pixels; average the unit vectors."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (model.config.image_mean, model.config.image_std))
    rows = []
    with torch.no_grad():
        for image, of_image in zip(images, sizes, strict=True):
            vectors = []
            for height, width in of_image:
                pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
                resized = resize(pixels, [height, width], InterpolationMode.BICUBIC, antialias=True)
                vectors.append(model(((resized / 255 - mean) / std)[None]).embeddings[0])
            rows.append(nn.functional.normalize(sum(vectors), dim=0))
    return torch.stack(rows)


def model_of(kind: str, pooling: str = "cls") -> nn.Module:
    backbone = {
        "model_type": kind,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    return ViTRetModel(ViTRetConfig(backbone, image_size=32, pooling=pooling)).eval()


def test_examples() -> None:
    result = doctest.testmod(multi_scale_module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(("kind", "pooling"), [("vit", "cls"), ("vit", "gem"), ("deit", "cls"), ("dinov2", "gem")])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_aspect_equals_the_loop_over_single_images(images, kind: str, pooling: str, batch_size: int) -> None:
    model = model_of(kind, pooling)
    scales = (0.7, 1.0, 1.5)
    sizes = []
    for height, width in SIZES:
        longer = max(height, width)
        of_image = [(40 * scale * height / longer, 40 * scale * width / longer) for scale in scales]
        sizes.append([tuple(max(8, 8 * round(pixels / 8)) for pixels in size) for size in of_image])
    expected = one_by_one(model, images, sizes)
    found = embed_multi_scale(
        model, images, scales=scales, image_size=40, resize="aspect", batch_size=batch_size, progress=False
    )
    assert (torch.cdist(expected, expected) + torch.eye(len(images))).min() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(images)), atol=1e-6, rtol=0)


def test_a_square_is_what_embed_images_gives_for_a_model_of_that_size(tiny_model, images) -> None:
    found = embed_multi_scale(tiny_model, images, image_size=48, batch_size=4, progress=False)
    tiny_model.config.resize_mode, tiny_model.config.image_size, tiny_model.config.resize_size = "square", 48, 48
    expected = embed_images(tiny_model, images, progress=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(embed_multi_scale(tiny_model, images, progress=False), expected, atol=1e-6, rtol=0)
    raw = embed_multi_scale(tiny_model, images, normalize=False, progress=False)
    assert (raw.norm(dim=1) - 1).abs().min() > 1e-2
    torch.testing.assert_close(nn.functional.normalize(raw, dim=1), expected, atol=1e-6, rtol=0)


def test_equal_shapes_go_together_and_few_wait(tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    shapes = [(32, 8 * width) for width in (1, 2, 3, 4)]
    images = [Image.fromarray(rng.integers(0, 256, (*shapes[row % 4], 3), dtype=np.uint8)) for row in range(40)]
    batches = []
    vectors_of = multi_scale_module.vectors_of

    def recorded(model, pixels, **options):
        batches.append(tuple(pixels.shape))
        return vectors_of(model, pixels, **options)

    monkeypatch.setattr(multi_scale_module, "vectors_of", recorded)
    settings = {"image_size": 32, "resize": "aspect", "batch_size": 5, "progress": False}
    expected = embed_multi_scale(tiny_model, images, **settings)
    assert sorted(batches) == sorted((5, 3, *shape) for shape in shapes for _ in range(2))
    batches.clear()
    monkeypatch.setattr(multi_scale_module, "_MAX_WAITING", 1)
    torch.testing.assert_close(embed_multi_scale(tiny_model, images, **settings), expected, atol=1e-6, rtol=0)
    assert max(batch[0] for batch in batches) == 2  # five images of four shapes wait at most: the two alike go


def test_reads_a_data_set_with_workers_and_keeps_the_scale_of_crops(tiny_model, images) -> None:
    full_sizes = [[2 * width, 3 * height] for height, width in SIZES]
    features = Features(image=ImageFeature(), full_size=Sequence(Value("int64"), length=2))
    dataset = Dataset.from_dict({"image": images, "full_size": full_sizes}, features=features)
    sizes = [
        [tuple(max(8, 8 * round(96 * side / max(full) / 8)) for side in size)] for size, full in zip(SIZES, full_sizes)
    ]
    found = embed_multi_scale(
        tiny_model,
        dataset,
        image_size=96,
        resize="aspect",
        keep_scale=True,
        num_workers=1,
        batch_size=4,
        progress=False,
    )
    torch.testing.assert_close(found, one_by_one(tiny_model, images, sizes), atol=1e-5, rtol=0)
    for rows in (images, dataset.remove_columns("full_size")):
        with pytest.raises(ValueError, match="keep_scale needs rows with full_size"):
            embed_multi_scale(tiny_model, rows, resize="aspect", keep_scale=True, progress=False)


def test_mode_comes_back_and_bfloat16_is_near(tiny_model, images) -> None:
    expected = embed_multi_scale(tiny_model, images, resize="aspect", progress=False)
    tiny_model.backbone.embeddings.dropout = nn.Dropout(0.5)
    tiny_model.train()
    assert torch.equal(embed_multi_scale(tiny_model, images, resize="aspect", progress=False), expected)
    found = embed_multi_scale(tiny_model, images, resize="aspect", dtype=torch.bfloat16, progress=False)
    assert tiny_model.training
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found * expected).sum(dim=1).min() > 0.999
    nn.Linear(32, 2)(expected).sum().backward()  # an ordinary tensor, not one of inference mode


def test_sizes_are_whole_patches_and_never_none() -> None:
    assert fitted_size(10, 1000, 64, 16, "aspect") == (16, 64)
    assert fitted_size(1000, 10, 64, 16, "square") == (64, 64)
    assert fitted_size(300, 400, 100.4, 1, "aspect") == (75, 100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ()}, r"scales above 0, at least one; got \[\]"),
        ({"scales": (1.0, 0.0)}, r"scales above 0, at least one; got \[1.0, 0.0\]"),
        ({"resize": "crop"}, "resize must be one of square, aspect; got 'crop'"),
        ({"image_size": 0}, "image_size must be at least 1 pixel; got 0"),
        ({"keep_scale": True}, "keep_scale needs resize='aspect'"),
        ({"scales": (0.7, 1.0), "normalize": False}, "one scale with normalize=False; got 2"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny_model, images, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        embed_multi_scale(tiny_model, images, progress=False, **settings)
    with pytest.raises(ValueError, match="at least one image to embed; got none"):
        embed_multi_scale(tiny_model, [])


def test_what_has_no_vectors_before_the_norm_is_named(tiny_model, images) -> None:
    class Plain(nn.Module):
        pass

    with pytest.raises(TypeError, match="whose pool_images returns vectors before L2 normalisation; got Plain"):
        embed_multi_scale(Plain(), images, normalize=False, progress=False)


def test_rows_that_are_not_finite_are_named(tiny_model, images) -> None:
    with torch.no_grad():
        next(tiny_model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"9 of 9 are not, first rows \[0, 1"):
        embed_multi_scale(tiny_model, images, progress=False)
