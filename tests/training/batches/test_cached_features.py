"""Training a projection on cached features equals training it behind the frozen backbone."""

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from torch.utils.data import DataLoader, default_collate

from hf_vitret.training.batches.cached_features import CachedFeatures, cache_pooled_features
from hf_vitret.training.trainable.freezing import freeze_backbone
from tests.training.tiny_backbones import one_number, tiny

NUM_IMAGES = 7
LABELS = [3, 2**53 + 1, 0, 3, 1, -1, 2]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    images = [
        Pillow.fromarray(rng.integers(0, 256, (30 + 5 * row, 60 - 4 * row, 3), dtype=np.uint8))
        for row in range(NUM_IMAGES)
    ]
    return Dataset.from_dict(
        {"image": images, "label": LABELS}, features=Features({"image": Image(), "label": Value("int64")})
    )


def cache(model: torch.nn.Module, dataset: Dataset, **settings: object) -> CachedFeatures:
    return cache_pooled_features(model, dataset, batch_size=3, progress=False, **settings)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("vit", {"pooling": "cls"}),
        ("dinov3_vit", {"pooling": "mean"}),  # rescales its position coordinates at random in training mode
        ("clip_vision_model", {"pooling": "gem", "gem_learnable": True}),  # has a norm after the pooling
        ("convnext", {"pooling": "max"}),
    ],
)
def test_gradient_of_the_projection_is_that_of_the_whole_model(kind: str, fields: dict, dataset: Dataset) -> None:
    model = tiny(kind, embedding_dim=5, **fields)
    freeze_backbone(model)
    batch = default_collate([cache(model, dataset)[row] for row in range(NUM_IMAGES)])
    one_number(model.train()(pooled=batch["pooled"]).embeddings).backward()
    on_cache = [parameter.grad.clone() for parameter in model.projection.parameters()]

    model.zero_grad()
    embeddings = []
    for image in dataset["image"]:
        pixel_values = model.image_processor(image, return_tensors="pt")["pixel_values"]
        embeddings.append(model.eval()(pixel_values).embeddings)
    one_number(torch.cat(embeddings)).backward()
    for actual, parameter in zip(on_cache, model.projection.parameters(), strict=True):
        assert parameter.grad.any()
        # The batches of the two passes differ in size, and so does the rounding, relative to the largest entry.
        rounding = 2e-6 * float(parameter.grad.abs().max())
        torch.testing.assert_close(actual, parameter.grad, rtol=1e-4, atol=rounding)


def test_a_step_on_the_cache_is_a_step_of_the_head_alone(dataset: Dataset) -> None:
    model = tiny("vit", embedding_dim=5)
    freeze_backbone(model)
    features = cache(model, dataset)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(model.projection.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        for batch in DataLoader(features, batch_size=4):
            loss = one_number(model(pooled=batch["pooled"]).embeddings)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert sum(losses[-2:]) < sum(losses[:2]) - 1
    assert not calls
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"projection.weight", "projection.bias"}


def test_batches_are_pooled_outputs_and_labels_in_the_order_of_the_data(dataset: Dataset) -> None:
    model = tiny("vit", embedding_dim=5)
    features = cache(model, dataset)
    assert len(features) == NUM_IMAGES
    assert features.pooled.shape == (NUM_IMAGES, 16)
    assert features.pooled.dtype == torch.float32
    batches = list(DataLoader(features, batch_size=4))
    assert [set(batch) for batch in batches] == [{"pooled", "labels", "rows"}] * 2
    assert torch.equal(torch.cat([batch["pooled"] for batch in batches]), features.pooled)
    labels = torch.cat([batch["labels"] for batch in batches])
    assert labels.dtype == torch.int64
    assert labels.tolist() == LABELS


@pytest.mark.parametrize("was_training", [True, False])
def test_the_mode_comes_back_and_dropout_is_off(was_training: bool, dataset: Dataset) -> None:
    model = tiny("vit", embedding_dim=5, backbone={"hidden_dropout_prob": 0.5}).train(was_training)
    assert torch.equal(cache(model, dataset).pooled, cache(model, dataset).pooled)
    assert {module.training for module in model.modules()} == {was_training}


def test_bfloat16_and_workers(dataset: Dataset) -> None:
    model = tiny("vit", embedding_dim=5)
    expected = cache(model, dataset).pooled
    half = cache(model, dataset, dtype=torch.bfloat16, num_workers=1).pooled
    assert half.dtype == torch.float32
    assert not torch.equal(half, expected)
    assert torch.nn.functional.cosine_similarity(half, expected).min() > 0.999


def test_errors(dataset: Dataset) -> None:
    with pytest.raises(
        ValueError,
        match=r"expected a model with a projection.*; got one without\. Give it a projection",
    ):
        cache(tiny("vit"), dataset)
    with pytest.raises(ValueError, match="at least one image"):
        cache(tiny("vit", embedding_dim=5), dataset.select([]))
    with pytest.raises(ValueError, match=r"a label for each of 3 pooled outputs; got 2 labels\. Pass the rows"):
        CachedFeatures(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64))
