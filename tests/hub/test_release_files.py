"""The files of a release are chosen by name, and folders that are no complete checkpoint are refused."""

import json
from pathlib import Path

import pytest

from hf_vitret.hub.release_files import release_files
from tests.training.runs import tiny_vit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a checkpoint with a card."""
    tiny_vit().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("# Card\n")
    return tmp_path


def test_a_plain_checkpoint(folder: Path) -> None:
    files = release_files(folder)
    assert set(files) == {
        *("README.md", "config.json", "configuration_vitret.py", "model.safetensors", "modeling_vitret.py"),
        "preprocessor_config.json",
    }
    assert all(file.is_file() for file in files.values())


@pytest.mark.parametrize(
    ("name", "is_released"),
    [
        ("onnx/model_int8.onnx", True),
        ("sentence_transformers/1_Pooling/config.json", True),
        ("handler.py", True),
        ("runs/a/events.json", False),
        ("space/app.py", False),
        ("checkpoint-12/config.json", False),
        ("last-checkpoint/model.safetensors", False),
        (".git/config.json", False),
        (".env.txt", False),
        ("optimizer_0/pytorch_model.json", True),  # the name of the file decides, not that of its folder
        ("optimizer.safetensors", False),
        ("training_args.json", False),
        ("pytorch_model.bin", False),
        ("embeddings.npy", False),
        ("archive.zip", False),
    ],
)
def test_what_lies_beside_it(folder: Path, name: str, is_released: bool) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"0")
    assert (name in release_files(folder)) == is_released


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "expected a checkpoint in .*; there is no config.json in it"),
        ("README.md", "expected README.md in .*; there is none. Write one with write_model_card"),
        ("preprocessor_config.json", "expected preprocessor_config.json in .*; there is none. Save the model again"),
        ("modeling_vitret.py", "expected modeling_vitret.py in .*; there is none. Save the model again"),
        ("model.safetensors", "expected model.safetensors or model.safetensors.index.json in .*; there is neither"),
    ],
)
def test_what_is_missing_is_named(folder: Path, name: str, message: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        release_files(folder)


def test_pickled_weights_are_no_release(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"expected weights as safetensors in .*; got pickles \(.bin\)"):
        release_files(folder)


def test_code_of_elsewhere_is_no_release(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "other/repo--modeling_vitret.ViTRetModel"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"refused, and nothing was run: config\.json of .* names something outside"):
        release_files(folder)


def test_a_checkpoint_that_needs_the_package_is_no_release(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match="expected an auto_map for AutoConfig and AutoModel"):
        release_files(folder)
