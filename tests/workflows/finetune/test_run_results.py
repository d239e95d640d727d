"""Settings and facts of a run: those that decided it, and no others."""

from pathlib import Path

import pytest
import torch

from hf_vitret.training.tuples.arguments import TupleTrainingArguments
from hf_vitret.workflows.finetune import run_results as module
from hf_vitret.workflows.finetune.run_results import device_name, run_settings
from tests.training import runs


def test_settings_of_the_optimizer(tmp_path: Path) -> None:
    changes = {"optim": "adamw_torch", "adam_beta2": 0.95, "adam_epsilon": 1e-7, "warmup_steps": 2}
    settings = run_settings(runs.arguments(tmp_path, **changes, lr_scheduler_type="linear"), 24, 8)
    assert changes.items() <= settings.items()
    assert (settings["adam_beta1"], settings["lr_scheduler_type"]) == (0.9, "linear")
    assert "loss_learning_rate" not in settings
    args = runs.arguments(tmp_path, loss_learning_rate=0.5)
    assert run_settings(args, 24, 8, has_own_weights=True)["loss_learning_rate"] == 0.5


def test_steps_or_epochs(tmp_path: Path) -> None:
    settings = run_settings(runs.arguments(tmp_path, num_train_epochs=7), 24, 8)
    assert settings["max_steps"] == 6
    assert "num_train_epochs" not in settings
    tuples = TupleTrainingArguments(str(tmp_path), use_cpu=True)
    settings = run_settings(tuples, 24, 35)
    assert settings["num_train_epochs"] == 100
    assert not {"max_steps", *tuples.UNUSED} & settings.keys()


def test_a_cpu_has_a_name_and_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    info = tmp_path / "cpuinfo"
    info.write_text("vendor_id\t: Maker\nmodel name\t: Maker Core 3: fast\nmodel name\t: other\n")
    monkeypatch.setattr(module, "_MODEL_INFO", str(info))
    assert device_name(torch.device("cpu")) == "Maker Core 3: fast with 6 cores"
    info.write_text("Processor\t: 0\n")
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert device_name(torch.device("cpu")) == "arm with 6 cores"
    monkeypatch.setattr(module, "_MODEL_INFO", str(tmp_path / "nowhere"))
    assert device_name(torch.device("cpu")) == "arm with 6 cores"
