"""The recipe of particular objects: its settings, and the demo from places to re-ranked scores."""

import functools
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from hf_vitret import ViTRetModel
from hf_vitret.data.demo.scenes import writing
from hf_vitret.data.landmarks.sfm120k import load_sfm120k
from hf_vitret.inference.embed import embed_images
from tests.workflows.finetune import flow

SMALL = {"num_train_scenes": 8, "num_val_scenes": 2, "num_queries": 3, "views_per_scene": 4, "num_distractors": 6}


@pytest.fixture
def small_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recipe make a smaller set of places."""
    monkeypatch.setattr(writing, "write_places", functools.partial(writing.write_places, **SMALL, size=48))


@pytest.fixture
def intercepted(recipe, monkeypatch: pytest.MonkeyPatch):
    """Give the function that runs the recipe up to the training, and returns what it would be called with."""

    def run(*line: str) -> tuple[Any, ...]:
        module, calls = recipe("train_sfm120k"), []
        monkeypatch.setattr(module, "load_sfm120k", lambda *_, **__: {"train": None, "val": None})
        monkeypatch.setattr(module, "load_sfm120k_pairs", lambda *_: {"train": None})
        monkeypatch.setattr(module, "finetune_on_tuples", lambda *inputs, **_: calls.append(inputs))
        monkeypatch.setattr(sys, "argv", ["recipes/train_sfm120k.py", *line])
        module.main()
        (call,) = calls
        return call

    return run


def test_it_has_the_papers_settings(intercepted) -> None:
    _, _, model, args, facts = intercepted("--data_dir", "there")
    expected = {
        "learning_rate": 5e-7,
        "weight_decay": 1e-6,
        "l2_decay": True,
        "lr_decay": 0.01,
        "num_train_epochs": 100,
        "max_steps": -1,
        "pairs_per_epoch": 2_000,
        "pool_size": 22_000,
        "num_negatives": 5,
        "per_device_train_batch_size": 35,
        "margin": 0.85,
        "koleo_weight": 4.0,
        "flip": 0.0,
        "output_dir": "outputs/sfm120k",
    }
    assert {name: getattr(args, name) for name in expected} == expected
    assert (model.backbone, model.pooling) == ("facebook/deit-small-distilled-patch16-224", "cls")
    assert (model.image_size, model.resize_mode) == (224, "square")
    assert facts.base_model == model.backbone


def test_settings_of_tuples_are_flags(intercepted) -> None:
    line = ["--data_dir", "a b", "--num_negatives", "3", "--per_device_train_batch_size", "10", "--pool_size", "9"]
    _, _, model, args, facts = intercepted(*line, "--image_size", "384", "--koleo_weight", "0", "--lr_decay", "0")
    assert (args.num_negatives, args.per_device_train_batch_size, args.pool_size) == (3, 10, 9)
    assert (model.image_size, args.koleo_weight, args.lr_decay) == (384, 0.0, 0.0)
    assert shlex.split(facts.command)[:5] == ["accelerate", "launch", "recipes/train_sfm120k.py", "--data_dir", "a b"]


def test_the_demo_is_asked_for_or_not(recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("train_sfm120k")
    for line, expected in (
        (["--demo"], True),
        (["--demo", "true"], True),
        (["--demo", "false"], False),
        (["--demo=false"], False),
        (["--seed", "3", "--data_dir", "x"], False),
    ):
        monkeypatch.setattr(sys, "argv", ["recipes/train_sfm120k.py", *line])
        assert module.asks_for_demo() is expected


def test_no_demo_has_the_papers_settings(intercepted) -> None:
    _, _, model, args, facts = intercepted("--demo", "false", "--hub_token", "s3cret")
    assert (args.output_dir, args.learning_rate, model.image_size) == ("outputs/sfm120k", 5e-7, 224)
    assert facts.dataset == "sfm120k"
    assert facts.command == "accelerate launch recipes/train_sfm120k.py --demo false"


def test_without_data_it_says_where_to_get_it(run_recipe) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*retrieval-SfM-120k"):
        run_recipe("train_sfm120k")
    assert not list(Path().iterdir())


def test_the_demo_mines_trains_whitens_scores_and_reranks(backbone: Path, small_places, run_recipe, capsys) -> None:
    line = ["--demo", "--backbone", str(backbone), "--image_size", "32", "--output_dir", "out", "--max_steps", "2"]
    line += ["--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"]
    line += ["--num_negatives", "2", "--per_device_train_batch_size", "8", "--pairs_per_epoch", "2"]
    run_recipe("train_sfm120k", *line, "--learning_rate", "1e-3", "--whitening_dim", "5", "--disable_tqdm", "true")
    shown = capsys.readouterr().out
    stages = json.loads(Path("out/revisited.json").read_text())["places"]
    titles = [
        f"{title}{whitened}{step}"
        for whitened in ("", ", whitened")
        for title in ("off the shelf", "after training")
        for step in ("", ", reciprocal")
    ]
    assert list(stages) == titles
    for title in titles:
        shown_line = next(line for line in shown.splitlines() if line.startswith(f"  {title}  "))
        for level in ("easy", "medium", "hard"):
            assert f"{100 * stages[title][f'{level}_map']:.1f}" in shown_line
    assert len({json.dumps(stages[title]) for title in titles}) == len(titles)

    results = flow.results_of(Path("out/final"))
    assert results["training"]["pairs_per_epoch"] == 2
    assert results["training"]["num_negatives"] == 2
    assert results["base_model"] is None  # a folder
    assert "images_per_class" not in results["training"]
    assert (results["model"]["resize_size"], results["model"]["resize_mode"]) == (32, "square")
    assert results["data"]["splits"]["train"]["num_classes"] == 8
    assert results["scores"]["after training"]["num_queries"] == 8
    assert results["revisited"] == {"places": stages}
    card = (Path("out/final") / "README.md").read_text()
    assert "china: flickr.com" in card
    assert "### Particular objects" in card

    images = load_sfm120k("out/places", check_counts=False)["val"]
    plain, whitened = (ViTRetModel.from_pretrained(Path("out") / name) for name in ("final", "whitened"))
    assert (plain.config.embedding_dim, whitened.config.embedding_dim) == (None, 5)
    assert embed_images(whitened, images, progress=False).shape == (8, 5)
