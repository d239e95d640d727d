"""Training sets of images and of cached features: numbered classes, named rows, and the sampler of a loader."""

import pytest
import torch

from hf_vitret import ClassBalancedSampler
from hf_vitret.training.batches.cached_features import CachedFeatures
from hf_vitret.training.batches.training_images import DrawSampler, TrainingImages
from hf_vitret.training.batches.training_set import TrainingSet
from hf_vitret.training.batches.transforms import TrainTransform
from tests.training import runs

TRANSFORM = TrainTransform(image_size=16, resize_size=20)


def test_classes_are_numbered_whatever_their_labels() -> None:
    features = CachedFeatures(torch.ones(5, 2), torch.tensor([2**62, -7, 2**62, 4, -7]))
    dataset = TrainingSet(features, TRANSFORM)
    assert dataset.class_ids.tolist() == [2, 0, 2, 1, 0]
    assert dataset.num_classes == 3
    assert dataset.examples[3]["labels"] == 1
    assert dataset.image_ids([3]) == ["row 3"]


def test_images_are_named_and_drawn_with_seeds() -> None:
    dataset = TrainingSet(runs.shapes_dataset()["train"], TRANSFORM)
    assert isinstance(dataset.examples, TrainingImages)
    assert dataset.image_ids([0, 5]) == ["0/0", "1/1"]
    sampler = ClassBalancedSampler(dataset.class_ids, 8, 2)
    assert isinstance(dataset.order(sampler), DrawSampler)
    nameless = TrainingSet(runs.shapes_dataset()["train"].remove_columns("image_id"), TRANSFORM)
    assert nameless.image_ids([5]) == ["row 5"]


def test_features_are_drawn_as_they_are() -> None:
    dataset = TrainingSet(CachedFeatures(torch.ones(8, 2), torch.arange(8) // 2), TRANSFORM)
    sampler = ClassBalancedSampler(dataset.class_ids, 4, 2)
    assert dataset.order(sampler) is sampler


@pytest.mark.parametrize("column", ["image", "label"])
def test_missing_column_is_named(column: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"expected a training set with the columns image, label, image_id; got .*\. Rename the columns, or load",
    ):
        TrainingSet(runs.shapes_dataset()["train"].remove_columns(column), TRANSFORM)
