"""`hf-vitret env`: what a bug report needs, and nothing that is private."""

import importlib.metadata
import json
import os
import platform
from typing import Any

import pytest
import torch

import hf_vitret
from hf_vitret.cli.commands import env
from hf_vitret.cli.main import main

TOKEN = "hf_" + "aB3" * 12


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Give what `--json` prints, with a token and a variable that matters in the environment."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["env", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert TOKEN not in out
    found: dict[str, Any] = json.loads(out)
    return found


def test_versions_devices_and_threads(facts: dict[str, Any]) -> None:
    assert facts["hf_vitret"] == hf_vitret.__version__
    assert facts["python"] == platform.python_version()
    assert facts["threads"] == {"torch": torch.get_num_threads(), "cpus": len(os.sched_getaffinity(0))}
    assert facts["devices"][0].startswith("cpu (")
    assert facts["cuda"] == torch.version.cuda
    assert facts["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    assert facts["environment"]["HF_HUB_OFFLINE"] == "1"
    assert "HF_TOKEN" not in facts["environment"]


def test_packages_are_those_that_an_installation_needs(facts: dict[str, Any]) -> None:
    for name in ("torch", "transformers", "datasets", "accelerate"):
        assert facts["packages"][name] == importlib.metadata.version(name)
    assert not {"onnx", "pytest", "matplotlib"} & facts["packages"].keys()


def test_extras_are_those_of_the_package_for_its_users(facts: dict[str, Any]) -> None:
    known = set(importlib.metadata.metadata("hf_vitret").get_all("Provides-Extra") or [])
    assert set(facts["extras"]) == known - {"test", "dev", "bench", "gpu"}
    assert facts["extras"]["onnx"] == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = env._version
    monkeypatch.setattr(env, "_version", lambda name: None if name in ("onnx", "numpy") else version(name))
    assert main(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("hf_vitret", f"{hf_vitret.__version__},", "Python", f"{platform.python_version()},", platform.platform())
    ]
    assert ["numpy", "missing"] in [line.split() for line in lines]
    (extras,) = [line for line in lines if line.startswith("Extras       ")]
    assert "onnx" not in extras.removeprefix("Extras").replace(",", " ").split()
    assert f'{"":13}onnx: onnx missing: pip install "hf_vitret[onnx]"' in lines


def test_an_accelerator_is_listed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in of two GPUs: the tests run where there is none."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Imagined {number}")
    assert env.collect_facts()["devices"][1:] == ["cuda:0 Imagined 0", "cuda:1 Imagined 1"]


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(env, "_version", lambda name: None)
    assert main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["is_installed"], facts["packages"], facts["extras"]) == (False, {}, {})
    assert main(["env"]) == 0
    assert "(not installed, so its packages are not known)" in capsys.readouterr().out
