"""Runs on tuples: resumed, with one process and two, and with the optimiser and the schedule of the paper."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_vitret.inference.embed import embed_images
from hf_vitret.training.batches.cached_features import CachedFeatures
from hf_vitret.training.tuples.arguments import TupleTrainingArguments
from hf_vitret.training.tuples.mining import mine_tuples
from tests.training import runs
from tests.training.distributed.forked import Run, launch
from tests.training.tuples import tuple_run

RUN = "tests.training.tuples.tuple_run:run"
# With these, runs with one process and two differ only by rounding; tests.training.observed_run gives the reasons.
SGD = {"optim": "sgd", "learning_rate": 1e-4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train without a stop and killed, with one process and two: three steps an epoch, a checkpoint every two steps."""
    parent = tmp_path_factory.mktemp("tuples")
    adam: dict[str, Any] = {}
    codes = launch(
        Run(RUN, [str(parent / "whole"), adam]),
        Run(RUN, [str(parent / "killed"), adam, 6]),  # the checkpoint of step 4 is inside the second epoch
        Run(RUN, [str(parent / "killed"), adam]),
        Run(RUN, [str(parent / "one"), SGD]),
        Run(RUN, [str(parent / "two"), SGD], 2),
        Run(RUN, [str(parent / "two killed"), SGD, 6], 2),
        Run(RUN, [str(parent / "two killed"), SGD], 2),
        may_die=True,
    )
    assert codes == [[0], [-signal.SIGKILL], [0], [0], [0, 0], [-signal.SIGKILL] * 2, [0, 0]]
    return parent


def seen(folder: Path, processes: int = 1) -> list[dict[str, Any]]:
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(processes)]


def test_a_killed_and_resumed_run_ends_like_one_never_stopped(folders: Path) -> None:
    (whole,), (killed,) = seen(folders / "whole"), seen(folders / "killed")
    assert killed["tuples"] == whole["tuples"][4:]
    assert [killed[name] for name in ("state", "log")] == [whole[name] for name in ("state", "log")]
    assert len(whole["gradients"]) == 8


def test_two_processes_killed_and_resumed(folders: Path) -> None:
    for whole, killed in zip(seen(folders / "two", 2), seen(folders / "two killed", 2), strict=True):
        assert killed["tuples"] == whole["tuples"][4:]
        assert [killed[name] for name in ("state", "log")] == [whole[name] for name in ("state", "log")]


def test_two_processes_have_the_tuples_the_gradient_and_the_loss_of_one(folders: Path) -> None:
    (alone,), ranks = seen(folders / "one"), seen(folders / "two", 2)
    for rank in ranks:
        assert rank["tuples"] == alone["tuples"]
        for gradient, expected in zip(rank["gradients"], alone["gradients"], strict=True):
            error = (torch.tensor(gradient) - torch.tensor(expected)).norm() / torch.tensor(expected).norm()
            assert error < 1e-5
        for name in ("loss", "contrastive", "koleo", "eval_map_at_r"):
            values, expected_values = ([line[name] for line in run["log"] if name in line] for run in (rank, alone))
            assert values == pytest.approx(expected_values, rel=1e-5), name


def test_each_epoch_mines_tuples_with_the_weights_at_its_start(folders: Path) -> None:
    (whole,) = seen(folders / "whole")
    tuples = whole["tuples"]
    assert tuples[0] == tuples[2] != tuples[3] == tuples[5] != tuples[6]
    rates = [line["learning_rate"] for line in whole["log"] if "learning_rate" in line]
    # The rate is logged after the schedule has advanced: it is that of the next step.
    assert rates == pytest.approx([1e-3 * math.exp(-0.01 * (step // 3)) for step in range(8)])


def test_mined_tuples_are_the_hardest_by_the_models_own_embeddings(tmp_path: Path) -> None:
    trainer = tuple_run.new_trainer(tmp_path)
    sampler, labels = trainer.tuple_sampler, trainer.training_set.class_ids
    images = runs.shapes_dataset()["train"]
    trainer.model.train()
    mined = mine_tuples(trainer.model, images, sampler, 1, device=torch.device("cpu"), batch_size=5, progress=False)
    assert trainer.model.training
    embeddings = embed_images(trainer.model, images, progress=False).double().numpy()
    pairs, pool = sampler.draw(1)
    assert mined[:, :2].tolist() == pairs.tolist()
    for anchor, _, *negatives in mined.tolist():
        met, expected = {labels[anchor]}, []
        for row in pool[np.argsort(-embeddings[pool] @ embeddings[anchor], kind="stable")]:
            if labels[row] not in met and len(expected) < 2:
                met.add(labels[row])
                expected.append(row)
        assert negatives == expected


def test_adam_has_its_weight_decay_in_the_gradient_of_every_weight(tmp_path: Path) -> None:
    """Steps of the trainer's optimizer equal those of torch's Adam with the same gradients."""
    trainer = tuple_run.new_trainer(tmp_path, weight_decay=0.5, learning_rate=1e-2)
    weights = [torch.nn.Parameter(weight.detach().clone()) for weight in trainer.model.parameters()]
    expected = torch.optim.Adam(weights, lr=1e-2, weight_decay=0.5)
    optimizer = trainer.create_optimizer()
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for weight, own in zip(weights, trainer.model.parameters(), strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            own.grad = weight.grad.clone()
        expected.step()
        optimizer.step()
    for weight, own in zip(weights, trainer.model.parameters(), strict=True):
        torch.testing.assert_close(own, weight)


def test_other_optimisers_and_schedules_can_be_chosen(tmp_path: Path) -> None:
    changes = {"l2_decay": False, "lr_decay": 0.0, "lr_scheduler_type": "linear", "weight_decay": 0.5}
    trainer = tuple_run.new_trainer(tmp_path, **changes)
    optimizer = trainer.create_optimizer()
    assert type(optimizer) is torch.optim.AdamW
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.5}
    schedule = trainer.create_scheduler(10, optimizer)
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(1e-3 * 0.9)


def test_defaults_are_the_papers() -> None:
    args = TupleTrainingArguments(output_dir="out", use_cpu=True)
    expected = {
        "num_negatives": 5,
        "pairs_per_epoch": 2_000,
        "pool_size": 22_000,
        "per_device_train_batch_size": 35,
        "margin": 0.85,
        "koleo_weight": 4.0,
        "learning_rate": 5e-7,
        "weight_decay": 1e-6,
        "num_train_epochs": 100,
        "max_steps": -1,
        "lr_decay": 0.01,
        "flip": 0.0,
    }
    assert {name: getattr(args, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_device_train_batch_size": 36}, "multiple of 7 images .anchor, positive, 5 negatives.; got 36"),
        ({"memory_size": 1.0}, r"no memory; got loss contrastive and memory_size 1\.0\. Leave both"),
        ({"loss": "supcon"}, "got loss supcon"),
        ({"num_negatives": 0}, "num_negatives must be at least 1; got 0"),
        ({"pool_size": 0}, "pool_size must be at least 1"),
        ({"lr_decay": -1.0}, "lr_decay must be 0 .none. or more"),
        ({"lr_scheduler_type": "cosine"}, r"because lr_decay is a schedule itself; got lr_decay 0\.01\. Set it to 0"),
    ],
)
def test_settings_outside_their_domain_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TupleTrainingArguments(output_dir="out", use_cpu=True, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pairs": Dataset.from_dict({"query": [0], "positive": [1]})},
            r"columns anchor and positive; got query, positive\. Rename",
        ),
        ({"num_negatives": 6}, "6 clusters beside the anchor's"),
        ({"train_dataset": CachedFeatures(torch.ones(2, 3), torch.tensor([0, 0]))}, "Leave --head_only out"),
    ],
)
def test_data_without_tuples_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        tuple_run.new_trainer(tmp_path, **changes)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    trainer = tuple_run.new_trainer(tmp_path)
    with pytest.raises(ValueError, match=r"mined tuples of a run in .*; there are none\. Resume from a checkpoint"):
        trainer.load_extra_state({}, tmp_path)
    state = {"tuples.rows": torch.zeros(4, 4, dtype=torch.int64), "tuples.epoch": torch.tensor([0])}
    with pytest.raises(ValueError, match="6 tuples of 4 rows"):
        trainer.load_extra_state(state, tmp_path)
