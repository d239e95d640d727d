"""States of several modules in one dictionary: all are loaded, or none and the error names the differing tensors."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hf_vitret.training.checkpoints.module_states import load_module_states, module_states

PATH = Path("run/loss_state.safetensors")


def modules(width: int = 3) -> dict[str, nn.Module]:
    return {"loss": nn.Linear(width, 2), "momentum_encoder": nn.BatchNorm1d(2)}


def test_states_come_back() -> None:
    first, second = modules(), modules()
    load_module_states(second, module_states(first), PATH)
    assert "loss.weight" in module_states(first)
    for name, tensor in module_states(second).items():
        assert torch.equal(tensor, module_states(first)[name]), name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("loss.bias"), "loss.bias"),
        (lambda state: state.update({"loss.proxies": torch.ones(1)}), "loss.proxies"),
        (lambda state: state.update({"loss.weight": torch.ones(2, 4)}), "loss.weight"),
    ],
    ids=["missing", "unknown", "of another size"],
)
def test_another_runs_state_is_refused_and_nothing_loaded(change, named: str) -> None:
    state, target = module_states(modules()), modules()
    before = {name: tensor.clone() for name, tensor in module_states(target).items()}
    change(state)
    with pytest.raises(ValueError, match=rf"loss_state.safetensors.*size: {named}\. Resume with"):
        load_module_states(target, state, PATH)
    for name, tensor in module_states(target).items():
        assert torch.equal(tensor, before[name])
