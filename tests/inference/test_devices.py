"""A device is chosen by its name among those that the machine has."""

import pytest
import torch

from hf_vitret import load_model
from hf_vitret.inference.devices import choose_device


@pytest.fixture
def accelerators(monkeypatch):
    """Return a function that gives this machine some accelerators of a kind, or none."""

    def given(kind, count):
        device = torch.device(kind) if count else None
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: bool(count))
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *arguments: device)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return given


@pytest.mark.parametrize(
    ("kind", "count", "name", "expected"),
    [
        ("cuda", 0, None, "cpu"),
        ("cuda", 0, "cpu", "cpu"),
        ("cuda", 2, None, "cuda"),
        ("cuda", 2, "cpu", "cpu"),
        ("cuda", 2, "cuda", "cuda"),
        ("cuda", 2, "cuda:1", "cuda:1"),
        ("mps", 1, None, "mps"),
        ("mps", 1, "mps:0", "mps:0"),
    ],
)
def test_a_name_or_the_accelerator_or_the_cpu(accelerators, kind, count, name, expected):
    accelerators(kind, count)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("count", "name", "known"),
    [
        (0, "cuda", "cpu"),
        (0, "cuda:0", "cpu"),
        (2, "cuda:2", "cpu, cuda, cuda:0, cuda:1"),
        (2, "mps", "cpu, cuda, cuda:0, cuda:1"),
        (2, "gpu", "cpu, cuda, cuda:0, cuda:1"),
        (2, "", "cpu, cuda, cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(accelerators, count, name, known):
    accelerators("cuda", count)
    with pytest.raises(ValueError, match=f"^expected a device of this machine, {known}; got {name!r}"):
        choose_device(name)


def test_a_model_is_put_where_it_is_asked_for(tmp_path, tiny_model, accelerators):
    tiny_model.save_pretrained(tmp_path)
    assert next(load_model(tmp_path, device="cpu").parameters()).device == torch.device("cpu")
    accelerators("cuda", 0)
    assert next(load_model(tmp_path).parameters()).device == torch.device("cpu")
    with pytest.raises(ValueError, match="expected a device of this machine, cpu; got 'cuda:3'"):
        load_model(tmp_path, device="cuda:3")
