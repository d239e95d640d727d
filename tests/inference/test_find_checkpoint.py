"""A folder above a checkpoint stands for the checkpoint in it, and says so."""

import logging

import pytest
import torch

from hf_vitret import load_model
from hf_vitret.inference.find_checkpoint import find_checkpoint


@pytest.fixture
def run(tmp_path, tiny_model):
    """Write the output folder of a training run that has ended."""
    tiny_model.save_pretrained(tmp_path / "run" / "final")
    for step in (10, 20):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir()
        (tmp_path / "run" / f"checkpoint-{step}" / "config.json").write_text("{}")
    return tmp_path / "run"


def test_a_checkpoint_is_itself(run, caplog):
    assert find_checkpoint(run / "final") == str(run / "final")
    assert find_checkpoint(run / "checkpoint-10") == str(run / "checkpoint-10")
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["facebook/dinov2-small", "no/such/folder", "vit"])
def test_what_is_no_folder_is_taken_for_an_id_on_the_hub(name, caplog):
    assert find_checkpoint(name) == name
    assert caplog.text == ""


def test_the_folder_of_a_run_stands_for_the_model_that_it_ended_with(run, caplog, tiny_model):
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        assert find_checkpoint(run) == str(run / "final")
    assert [record.getMessage() for record in caplog.records] == [
        f"{run} is the folder of a run: the model is {run / 'final'}"
    ]
    loaded = load_model(run).state_dict()
    assert all(torch.equal(loaded[name].cpu(), value) for name, value in tiny_model.state_dict().items())


def test_a_config_of_its_own_comes_before_the_folder_final(run, caplog):
    (run / "config.json").write_text("{}")
    assert find_checkpoint(run) == str(run)
    assert caplog.text == ""


def test_the_home_folder_may_be_a_tilde(run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent))
    monkeypatch.setenv("USERPROFILE", str(run.parent))  # of Windows
    assert find_checkpoint("~/run") == find_checkpoint("~/run/final") == str(run / "final")


def test_a_run_that_has_not_ended_names_its_checkpoints(run):
    (run / "final" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"not ended, with checkpoint-10, checkpoint-20: name one of these"):
        find_checkpoint(run)
    with pytest.raises(OSError, match="name one of these"):
        load_model(run)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected a model in .*photos, with config\.json or a folder final"):
        find_checkpoint(tmp_path / "photos")
