"""A checkpoint that refers to what is outside it, or has pickles for weights, is refused before any of it is used."""

import doctest
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hf_vitret import ViTRetModel
from hf_vitret.inference import self_contained as module
from hf_vitret.inference.load_model import load_model
from hf_vitret.inference.self_contained import check_self_contained
from tests.training.runs import tiny_vit
from tests.workflows.finetune import flow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_vit().save_pretrained(tmp_path)
    return tmp_path


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"auto_map": {"AutoModel": "other/repo--modeling.Model"}},
        {"auto_map": {"AutoModel": ["modeling.Model", "other/repo--modeling.Fast"]}},
        {"auto_map": {"AutoModel": "../modeling.Model"}},
        {"_name_or_path": "/home/ada/vit"},
        {"backbone_config": {"model_type": "vit", "_name_or_path": "/home/ada/vit"}},
        {"backbone_config": {"model_type": "vit", "_name_or_path": "../vit"}},
        {"backbone_config": {"model_type": "vit", "auto_map": {"AutoModel": "other/repo--modeling.Model"}}},
    ],
)
def test_a_configuration_that_points_elsewhere(folder: Path, changes: dict[str, Any]) -> None:
    change(folder / "config.json", **changes)
    with pytest.raises(ValueError, match=r"refused, and nothing was run: config\.json of .* outside the checkpoint"):
        load_model(folder)


@pytest.mark.parametrize("shard", ["../../secret.safetensors", "/etc/secret.safetensors", "model-1.bin"])
def test_weights_that_lie_elsewhere(folder: Path, shard: str) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    names = load_file(folder / "model-1.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-1.safetensors")}
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    assert load_model(folder).num_parameters() > 0
    index["weight_map"][next(iter(names))] = shard
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match="safetensors files in its own folder; got weights in"):
        load_model(folder)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"type": "evil.Module", "path": ""}, "a module of type 'evil.Module'"),
        ({"type": "sentence_transformers.models.Pooling", "path": "../1_Pooling"}, "a module in '../1_Pooling'"),
    ],
)
def test_modules_of_elsewhere(folder: Path, found: dict[str, str], message: str) -> None:
    fine = [{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]
    (folder / "modules.json").write_text(json.dumps(fine))
    check_self_contained(folder)
    (folder / "modules.json").write_text(json.dumps([*fine, found]))
    with pytest.raises(ValueError, match=message):
        check_self_contained(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}'])
def test_an_index_that_is_none(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=r"expected (JSON in|a weight_map in) model\.safetensors.index.json"):
        load_model(folder)


class Bomb:
    """Write a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["checkpoint", "backbone"])
def test_pickled_weights_are_not_read(kind: str, folder: Path, tmp_path: Path) -> None:
    source = folder if kind == "checkpoint" else flow.save_backbone(tmp_path / "backbone")
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "run")))
    loaders = [load_model, ViTRetModel.from_pretrained if kind == "checkpoint" else ViTRetModel.from_backbone]
    for load in loaders:
        with pytest.raises(
            OSError, match=r"expected weights as safetensors in .* a pickle can run code\. If you trust"
        ):
            load(source)
    with pytest.raises(OSError, match="expected weights as safetensors"):
        loaders[1](source, **({"use_safetensors": False} if kind == "checkpoint" else {}))
    assert not (tmp_path / "run").exists()


def test_the_way_out_that_is_named_works(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    save_file(torch.load(tmp_path / "pytorch_model.bin", weights_only=True), folder / "model.safetensors")
    loaded, saved = load_model(folder).state_dict(), tiny_vit().state_dict()
    assert all(torch.equal(weight, loaded[name]) for name, weight in saved.items())


def test_code_of_a_backbone_is_not_run(tmp_path: Path) -> None:
    source = flow.save_backbone(tmp_path / "backbone")
    change(source / "config.json", model_type="strange", auto_map={"AutoConfig": "code.Config", "AutoModel": "code.M"})
    (source / "code.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    for load in (load_model, ViTRetModel.from_backbone):
        with pytest.raises(ValueError, match="trust_remote_code"):
            load(source)
    assert not (tmp_path / "run").exists()


def test_examples() -> None:
    assert doctest.testmod(module) == (0, 2)
