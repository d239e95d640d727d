"""The recipe of particular objects: its settings, and the demo from scenes to re-ranked scores."""

import functools
import json
import shlex
from pathlib import Path

import pytest

from hf_vitret import ViTRetModel
from hf_vitret.data.landmarks.sfm120k import load_sfm120k
from hf_vitret.inference.embed import embed_images
from hf_vitret.workflows.finetune import demo_backbone, landmarks
from hf_vitret.workflows.finetune.run_report import FinishedRun
from tests.cli.commands.next_command import next_command
from tests.workflows.finetune import flow

SMALL = {"num_train_scenes": 8, "num_val_scenes": 2, "num_queries": 3, "views_per_scene": 4, "num_distractors": 6}


@pytest.fixture
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command make a smaller set of scenes."""
    monkeypatch.setattr(landmarks, "write_scenes", functools.partial(landmarks.write_scenes, **SMALL, size=48))


def test_facts_of_the_card(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []

    def train(data_dir, options, model_args, args, facts, **_):
        found.append((data_dir, options.demo, facts))
        return FinishedRun(Path(args.output_dir) / "final", {}, None)

    monkeypatch.setattr(landmarks, "finetune_on_landmarks", train)
    monkeypatch.setattr(landmarks, "make_scenes", lambda *_: None)
    monkeypatch.setattr(demo_backbone, "dinov2_small", lambda *_: str(tmp_path))
    line = ["--data_dir", "a b", "--num_negatives", "3", "--batch_size", "10", "--data_license", "mine"]
    assert run("train", "sfm120k", *line, "--model_license", "mit").status == 0
    assert run("train", "sfm120k", "--demo").status == 0
    (data_dir, is_demo, facts), (scenes_dir, makes_scenes, of_demo) = found
    assert (data_dir, is_demo) == ("a b", False)
    assert (facts.name, facts.dataset, facts.license, facts.model_license) == ("SfM-120k", "sfm120k", "mine", "mit")
    assert facts.base_model == "facebook/deit-small-distilled-patch16-224"
    words = shlex.split(facts.command)
    assert words[:5] == ["hf-vitret", "train", "sfm120k", "--data_dir", "a b"]
    assert (scenes_dir, makes_scenes) == ("outputs/scenes/scenes", True)
    assert (of_demo.command, of_demo.model_license) == ("hf-vitret train sfm120k --demo true", "apache-2.0")
    assert of_demo.base_model == "facebook/dinov2-small"  # wherever its weights were taken from


def test_the_demo_makes_its_own_data(run) -> None:
    ended = run("train", "sfm120k", "--demo", "--revisited_dir", "x")
    assert (ended.status, "expected no --data_dir and --revisited_dir with --demo" in ended.err) == (2, True)


def test_the_demo_mines_trains_whitens_scores_and_reranks(backbone: Path, small_scenes, run) -> None:
    line = ["--demo", "--model", str(backbone), "--image_size", "32", "--output_dir", "out", "--max_steps", "2"]
    line += ["--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"]
    line += ["--num_negatives", "2", "--per_device_train_batch_size", "8", "--pairs_per_epoch", "2"]
    line += ["--learning_rate", "1e-3", "--whitening_dim", "5", "--disable_tqdm", "true"]
    ended = run("train", "sfm120k", *line)
    assert ended.status == 0, ended.err
    shown = ended.out
    stages = json.loads(Path("out/revisited.json").read_text())["scenes"]
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
    assert results["revisited"] == {"scenes": stages}
    card = (Path("out/final") / "README.md").read_text()
    assert "china: flickr.com" in card
    assert "### Particular objects" in card

    images = load_sfm120k("out/scenes", check_counts=False)["val"]
    plain, whitened = (ViTRetModel.from_pretrained(Path("out") / name) for name in ("final", "whitened"))
    assert (plain.config.embedding_dim, whitened.config.embedding_dim) == (None, 5)
    assert embed_images(whitened, images, progress=False).shape == (8, 5)
    assert next_command(shown) == ["publish", str(Path("out/final").absolute()), "--dry_run"]
