"""Whole runs with two and four real processes (gloo) against one: gradient, loss, memory and scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_vitret import ViTRetModel
from tests.training.distributed.forked import Run, launch
from tests.warm_process import run_warm

RUN = "tests.training.observed_run:run"
WORLDS = (1, 2, 4)
STEPS = 6
TRIPLETS = "pytorch_metric_learning.losses:TripletMarginLoss"


def seen(folder: Path, processes: int) -> list[dict[str, Any]]:
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(processes)]


def logged(run: dict[str, Any], name: str) -> list[float]:
    return [line[name] for line in run["log"] if name in line]


def largest_error(run: dict[str, Any], expected: dict[str, Any]) -> float:
    """Return the largest relative error of a step's gradient."""
    pairs = zip(run["gradients"], expected["gradients"], strict=True)
    return max(float((torch.tensor(a) - torch.tensor(b)).norm() / torch.tensor(b).norm()) for a, b in pairs)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train every variant with one, two and four processes."""
    parent = tmp_path_factory.mktemp("worlds")
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "momentum": {"memory_momentum": 0.9, "micro_batch_size": 1, "save_strategy": "no", "eval_strategy": "no"},
        "proxies": {"loss": "normalized_softmax", "memory_size": 0, "save_strategy": "no", "eval_strategy": "no"},
        "imported": {"loss": TRIPLETS, "memory_size": 0, "save_strategy": "no", "eval_strategy": "no"},
    }
    started = [
        Run(RUN, [str(parent / f"{name}-{world}"), changes], world)
        for name, changes in variants.items()
        for world in WORLDS
    ]
    launch(*started)
    return {f"{name}-{world}": parent / f"{name}-{world}" for name in variants for world in WORLDS}


@pytest.mark.parametrize("variant", ["plain", "momentum", "proxies", "imported"])
@pytest.mark.parametrize("world", [2, 4])
def test_gradient_and_loss_are_those_of_one_process(folders: dict[str, Path], variant: str, world: int) -> None:
    (alone,) = seen(folders[f"{variant}-1"], 1)
    ranks = seen(folders[f"{variant}-{world}"], world)
    assert len(alone["gradients"]) == STEPS
    assert largest_error(ranks[0], alone) < 1e-5
    for rank in ranks:
        assert rank["gradients"] == ranks[0]["gradients"]
        assert rank["log"][0]["loss"] == pytest.approx(alone["log"][0]["loss"], rel=1e-6)
        for name in ("loss", "koleo"):
            assert logged(rank, name) == pytest.approx(logged(alone, name), rel=1e-5)
        assert rank["loss_weights"] == ranks[0]["loss_weights"]


@pytest.mark.parametrize("variant", ["plain", "momentum"])
@pytest.mark.parametrize("world", [2, 4])
def test_memories_are_equal_at_every_step_also_when_they_wrap(
    folders: dict[str, Path], variant: str, world: int
) -> None:
    ranks = seen(folders[f"{variant}-{world}"], world)
    assert len(set(ranks[0]["memories"])) == STEPS  # 48 embeddings into 20 rows, so that the memory wraps twice
    for rank in ranks:
        assert rank["memories"] == ranks[0]["memories"]


@pytest.mark.parametrize("world", [2, 4])
def test_scores_are_exactly_those_of_one_process(folders: dict[str, Path], world: int) -> None:
    """The weights are the same: 19 images on two and on four processes against all of them on one."""
    folder = folders[f"plain-{world}"]
    from hf_vitret import RetrievalEvaluator
    from tests.training import runs

    model = ViTRetModel.from_pretrained(folder / "checkpoint-6")
    expected = RetrievalEvaluator(runs.shapes_dataset()["test"].select(range(19)))(model)
    for rank in seen(folder, world):
        for name, value in expected.items():
            assert logged(rank, f"eval_{name}")[-1] == value, name


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fsdp")
    launch(Run(RUN, [str(folder), {}, True], 2))
    return folder


def test_fsdp_trains_and_evaluates_like_one_process(sharded: Path, folders: dict[str, Path]) -> None:
    (alone,) = seen(folders["plain-1"], 1)
    for rank in seen(sharded, 2):
        assert rank["shards"] >= 3  # each of the two blocks, and the remaining modules
        assert largest_error(rank, alone) < 1e-5
        for name in ("loss", "contrastive", "memory", "koleo"):
            assert logged(rank, name) == pytest.approx(logged(alone, name), rel=1e-5)
        assert logged(rank, "eval_recall_at_1") == logged(alone, "eval_recall_at_1")
        assert rank["memories"] == seen(sharded, 2)[0]["memories"]


def test_fsdp_checkpoint_loads_without_the_package(sharded: Path, folders: dict[str, Path]) -> None:
    checkpoint = sharded / "checkpoint-6"
    expected = ViTRetModel.from_pretrained(folders["plain-1"] / "checkpoint-6").state_dict()
    for name, weight in ViTRetModel.from_pretrained(checkpoint).state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)
    assert json.loads((checkpoint / "config.json").read_text())["architectures"] == ["ViTRetModel"]
    code = (
        "import sys; sys.modules['hf_vitret'] = None; from transformers import AutoModel\n"
        "print(type(AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)).__name__)"
    )
    result = run_warm(code, checkpoint)
    assert result.stdout.strip() == "ViTRetModel", result.stderr[-2000:]


def test_fsdp_resumes(tmp_path: Path) -> None:
    """The second half of a run is repeated from the checkpoint in its middle."""
    adam, whole, halves = {"optim": "adamw_torch"}, tmp_path / "whole", tmp_path / "halves"
    launch(Run(RUN, [str(whole), adam, True], 2))
    shutil.copytree(whole / "checkpoint-3", halves / "checkpoint-3")
    launch(Run(RUN, [str(halves), adam, True, "", True], 2))
    for again, once in zip(seen(halves, 2), seen(whole, 2)):
        for name in ("loss", "memory", "eval_recall_at_1"):
            assert logged(again, name) == logged(once, name)


@pytest.mark.parametrize("loss", ["MultiSimilarityLoss", "ProxyAnchorLoss", "TripletMarginLoss"])
def test_losses_of_pytorch_metric_learning_have_the_gradient_of_one_process(loss: str, tmp_path: Path) -> None:
    changes = {"eval_strategy": "no", "save_strategy": "no", "max_steps": 4}
    launch(*[Run(RUN, [str(tmp_path / str(world)), changes, False, loss], world) for world in (1, 2)])
    (alone,), ranks = seen(tmp_path / "1", 1), seen(tmp_path / "2", 2)
    for rank in ranks:
        assert largest_error(rank, alone) < 1e-5
        assert logged(rank, "loss") == pytest.approx(logged(alone, "loss"), rel=1e-5)
        assert rank["loss_weights"] == ranks[0]["loss_weights"]
