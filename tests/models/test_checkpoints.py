"""A saved model comes back bit for bit: with the package, without it, and from the Hub's point of view."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from hf_vitret import ViTRetConfig, ViTRetModel
from hf_vitret.models import configuration_vitret
from tests.warm_process import run_warm

FILES = {
    "config.json",
    "configuration_vitret.py",
    "model.safetensors",
    "modeling_vitret.py",
    "preprocessor_config.json",
}
VARIANTS = {
    "plain": {"kind": "vit"},
    "projection": {"kind": "deit", "embedding_dim": 7, "pooling": "mean"},
    "learnable gem": {"kind": "dinov2_with_registers", "pooling": "gem", "gem_learnable": True},
    "every field": {
        "kind": "convnext",
        "pooling": "gem",
        "embedding_dim": 5,
        "image_size": 64,
        "resize_size": 80,
        "resize_mode": "square",
        "image_mean": (0.1, 0.2, 0.3),
        "image_std": (0.4, 0.5, 0.6),
    },
}


@pytest.fixture(params=VARIANTS)
def model(request, make_model):
    model = make_model(**VARIANTS[request.param])
    if request.param == "learnable gem":
        torch.nn.init.constant_(model.gem.p, 4.25)  # as after training: the configuration still says 3
    return model


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))


@torch.no_grad()
def test_round_trip_is_bit_for_bit(model, photo, tmp_path):
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.to_dict() == model.image_processor.to_dict()
    pixels = processor(photo, return_tensors="pt")["pixel_values"]
    expected = model(pixels).embeddings
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for loader in (ViTRetModel, AutoModel):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is ViTRetModel
        assert type(loaded.config) is ViTRetConfig
        assert not loaded.training
        weights = loaded.state_dict()
        assert weights.keys() == model.state_dict().keys()
        assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
        assert torch.equal(loaded(pixels).embeddings, expected)
        assert loaded.image_processor.to_dict() == processor.to_dict()
        assert {name for name, parameter in loaded.named_parameters() if parameter.requires_grad} == trainable


@torch.no_grad()
def test_bfloat16_on_request(model, photo, tmp_path):
    model.save_pretrained(tmp_path)
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    pixels = model.image_processor(photo, return_tensors="pt")["pixel_values"]
    embeddings = half(pixels).embeddings
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(1))
    assert (embeddings * model(pixels).embeddings).sum() > 0.99


def test_damaged_weights_are_noticed(tiny_model, tmp_path):
    """Prove that the comparison above can fail: one number changed in the file is one number changed here."""
    tiny_model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "backbone.embeddings.cls_token"
    save_file({**weights, name: weights[name] + 1}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = AutoModel.from_pretrained(tmp_path)
    assert not torch.equal(loaded.state_dict()[name], tiny_model.state_dict()[name])


def test_parts_that_the_checkpoint_lacks_start_as_in_a_new_model(make_model, tmp_path):
    make_model(pooling="gem", gem_p=2.5).save_pretrained(tmp_path)
    loaded = ViTRetModel.from_pretrained(tmp_path, gem_learnable=True, embedding_dim=4)
    assert loaded.gem.p.item() == 2.5
    weight = loaded.projection.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(4), atol=1e-5, rtol=0)
    assert not loaded.projection.bias.any()


def test_only_the_main_process_writes_the_image_processor(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "keyword", is_main_process=False)
    tiny_model.save_pretrained(tmp_path / "position", False)
    for folder in ("keyword", "position"):
        assert not (tmp_path / folder / "preprocessor_config.json").exists()


# Loads, embeds and saves again each folder, in a process that cannot import the package.
WITHOUT_PACKAGE = """
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_vitret":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
try:
    import hf_vitret
except ModuleNotFoundError:
    print("hf_vitret is absent")

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

for folder in map(Path, sys.argv[1:]):
    for source in (folder, folder / "again"):
        model = AutoModel.from_pretrained(source, trust_remote_code=True)
        pixels = AutoImageProcessor.from_pretrained(source)(Image.open(folder / "photo.png"), return_tensors="pt")
        with torch.no_grad():
            torch.save(model(**pixels).embeddings, source / "embeddings.pt")
        if source == folder:
            model.save_pretrained(folder / "again")
assert not [name for name in sys.modules if name.partition(".")[0] == "hf_vitret"]
"""


@torch.no_grad()
def test_checkpoint_loads_where_the_package_is_not_installed(make_model, photo, tmp_path):
    folders = []
    expected = []
    for number, variant in enumerate(VARIANTS.values()):
        model = make_model(**variant)
        folder = tmp_path / f"checkpoint-{number}"
        model.save_pretrained(folder)
        photo.save(folder / "photo.png")
        folders.append(folder)
        expected.append(model(**model.image_processor(photo, return_tensors="pt")).embeddings)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    for name in ("HF_HUB_CACHE", "HF_MODULES_CACHE", "PYTHONPATH"):
        environment.pop(name, None)
    process = run_warm(WITHOUT_PACKAGE, *folders, environment=environment, folder=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "hf_vitret is absent" in process.stdout
    for folder, embeddings in zip(folders, expected):
        for source in (folder, folder / "again"):
            assert torch.equal(torch.load(source / "embeddings.pt"), embeddings)
        # Whoever trains on without the package saves a checkpoint that is as complete as ours.
        assert {path.name for path in (folder / "again").iterdir()} == FILES | {"embeddings.pt"}


def test_travelling_files_are_ours_and_nothing_else(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_vitret.ViTRetConfig",
        "AutoModel": "modeling_vitret.ViTRetModel",
    }
    sources = Path(configuration_vitret.__file__).parent
    for path in tmp_path.glob("*.py"):
        assert path.read_text() == (sources / path.name).read_text()
        assert "hf_vitret" not in path.read_text(), "a travelling file must not name the package"


@pytest.mark.parametrize("through", ["push_to_hub", "save_pretrained"])
def test_upload_holds_the_whole_checkpoint_in_one_commit(through, tiny_model, tmp_path, monkeypatch):
    commits = []

    class Repository:
        repo_id = "owner/name"

    def create_commit(self, repo_id, operations, **kwargs):
        assert repo_id == "owner/name"
        commits.append({operation.path_in_repo for operation in operations})

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **kwargs: Repository)
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    monkeypatch.setattr(ModelCard, "load", lambda repo_id, **kwargs: ModelCard("# A card"))
    if through == "push_to_hub":
        tiny_model.push_to_hub("owner/name")
    else:
        tiny_model.save_pretrained(tmp_path, push_to_hub=True, repo_id="owner/name")
    assert commits == [FILES | {"README.md"}]


def test_configuration_alone_loads_by_its_type(model, tmp_path):
    model.config.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is ViTRetConfig
    assert type(AutoModel.from_config(config)) is ViTRetModel
