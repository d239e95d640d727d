"""Two models are one where they give the same vectors, wherever they lie; else it is said in words what differs."""

import copy

import pytest
import torch
from torch import nn

from hf_vitret.embedding.model_identity import ModelIdentity


def test_a_folder_a_copy_of_it_and_the_model_itself_are_one_model(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "first")
    tiny_model.save_pretrained(tmp_path / "second")
    first, second = (ModelIdentity.of(tmp_path / name) for name in ("first", "second"))
    assert (first.name, second.name, first.revision) == ("first", "second", None)
    assert first.difference(second) == []
    assert first.difference(ModelIdentity.of(tiny_model)) == []
    assert str(tmp_path) not in repr(first)


def test_a_model_stored_in_halves_is_the_one_that_is_loaded_from_it(tiny_model, tmp_path):
    tiny_model.half().save_pretrained(tmp_path / "half")
    assert ModelIdentity.of(tmp_path / "half").difference(ModelIdentity.of(tiny_model)) == []


def test_one_weight_is_another_model(tiny_model):
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    [found] = ModelIdentity.of(tiny_model).difference(ModelIdentity.of(other))
    assert found.startswith("other weights (SHA-256 ")


@pytest.mark.parametrize(
    ("field", "value", "parts"),
    [
        ("pooling", "mean", ["configuration"]),
        ("image_mean", [0.4, 0.4, 0.4], ["configuration", "image processor"]),
        ("resize_size", 48, ["configuration", "image processor"]),
    ],
)
def test_settings_that_change_the_vectors_are_another_model(tiny_model, field, value, parts):
    other = copy.deepcopy(tiny_model)
    setattr(other.config, field, value)
    found = ModelIdentity.of(tiny_model).difference(ModelIdentity.of(other))
    assert [one.partition(" (")[0] for one in found] == [f"other {part}" for part in parts]


def test_name_and_revision_are_told_where_the_model_is_another_one(tiny_model):
    first = ModelIdentity("ada/a", "c0ffee", "1" * 64, "2" * 64, "3" * 64)
    other = ModelIdentity("ada/b", None, "4" * 64, "2" * 64, "3" * 64)
    assert first.difference(other) == [
        "another name (ada/a and ada/b)",
        "another revision (c0ffee and none)",
        f"other weights (SHA-256 {'1' * 12} and {'4' * 12})",
    ]


def test_the_commit_of_a_checkpoint_or_of_its_backbone_is_noted(tiny_model):
    tiny_model.config.backbone_config._name_or_path = "ada/backbone"
    tiny_model.config.backbone_config._commit_hash = "c0ffee"
    found = ModelIdentity.of(tiny_model)
    assert (found.name, found.revision) == ("ada/backbone", "c0ffee")
    assert ModelIdentity.of(tiny_model, name="ada/other").name == "ada/other"


def test_a_model_without_an_image_processor():
    with pytest.raises(ValueError, match=r"expected a model with an image_processor.*got Linear without one"):
        ModelIdentity.of(nn.Linear(1, 1))
