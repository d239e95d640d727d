"""The classes that FSDP shards, and the class of a saved sharded model; test_many_processes.py has real shards."""

from types import SimpleNamespace

from torch import nn

from hf_vitret import ViTRetModel
from hf_vitret.training.checkpoints.sharded_weights import plain_model, shard_by_block
from tests.training import runs


def test_the_blocks_are_sharded_unless_classes_are_named() -> None:
    plugin = SimpleNamespace(transformer_cls_names_to_wrap=None)
    shard_by_block(plugin, runs.tiny_vit())
    assert plugin.transformer_cls_names_to_wrap == ["ViTLayer"]
    named = SimpleNamespace(transformer_cls_names_to_wrap=["ViTAttention"])
    shard_by_block(named, runs.tiny_vit())
    assert named.transformer_cls_names_to_wrap == ["ViTAttention"]


def test_a_model_with_a_class_made_for_sharding_is_saved_as_its_own_class() -> None:
    model = runs.tiny_vit()
    assert plain_model(model) is model
    model.__class__ = type("FSDPViTRetModel", (type("FSDPModule", (nn.Module,), {}), ViTRetModel), {})
    plain = plain_model(model)
    assert type(plain) is ViTRetModel
    assert plain.state_dict().keys() == model.state_dict().keys()
    assert next(plain.parameters()).is_meta
