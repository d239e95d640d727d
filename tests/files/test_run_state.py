"""What transformers and the trainer write as the state of a run is known by name, and nothing of a model is."""

import doctest

import pytest

from hf_vitret.files import run_state
from hf_vitret.files.run_state import is_run_state


@pytest.mark.parametrize(
    "path",
    [
        *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_3.pth"),
        *("training_args.bin", "trainer_state.json", "loss_state.safetensors", "contents.json"),
        *("checkpoint-500/config.json", "last-checkpoint/model.safetensors", "checkpoint-1/optimizer_0/__0_0.distcp"),
    ],
)
def test_state_of_a_run(path: str) -> None:
    assert is_run_state(path)


@pytest.mark.parametrize(
    "path",
    [
        *("model.safetensors", "config.json", "preprocessor_config.json", "modeling_vitret.py", "README.md"),
        *("onnx/model.onnx", "results.json", ".eval_results/sop.yaml", "adapter_model.safetensors"),
    ],
)
def test_a_model_is_no_state(path: str) -> None:
    assert not is_run_state(path)


def test_examples() -> None:
    assert doctest.testmod(run_state).failed == 0
