"""The whole job: what it measures, what it writes, and what it leaves when it is stopped."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import PartialState
from datasets import DatasetDict
from PIL import Image
from safetensors.torch import load_file

from hf_vitret import RetrievalEvaluator, RetrievalTrainer, ViTRetModel, embed_images, short_vectors
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare
from hf_vitret.evaluation.reporting.retrieval_strip import choose_shown, drawn_queries
from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from hf_vitret.workflows.finetune import finetune as job
from hf_vitret.workflows.finetune.finetune import AFTER, BEFORE, FinishedRun, _use_the_cores
from hf_vitret.workflows.finetune.run_report import report_run
from tests import ROOT
from tests.data.test_readable_images import with_broken
from tests.training import runs
from tests.warm_process import run_warm
from tests.workflows.finetune import flow

WRITTEN = {
    "README.md",
    "config.json",
    "configuration_vitret.py",
    "curves.png",
    "model.safetensors",
    "modeling_vitret.py",
    "preprocessor_config.json",
    "results.json",
    "retrieval.png",
}


@pytest.fixture(scope="module")
def finished(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the job once; the tests read its folder."""
    return flow.run(tmp_path_factory.mktemp("run"), backbone)


def launch(
    output_dir: Path, backbone: Path, *, processes: int = 0, moment: str = "", model: Any = None, **changes: Any
):
    """Run the job in a process of its own, or in several."""
    arguments = [str(output_dir), str(backbone), json.dumps(changes), json.dumps(model or {}), moment]
    if not processes:
        return run_warm("from tests.workflows.finetune.flow import main; main()", *arguments)
    start = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--rdzv-backend=c10d"]
    start += ["--rdzv-endpoint=localhost:0"]
    command = [sys.executable, "-W", "ignore", *start, "-m", "tests.workflows.finetune.flow", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".partial-")}


def partial(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - visible(folder)


def test_writes_what_is_worth_keeping_and_nothing_else(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == WRITTEN
    assert {path.name for path in finished.parent.iterdir()} == {"final", "checkpoint-3", "checkpoint-6"}


def test_scores_are_those_of_the_backbone_and_of_the_model_written(finished: Path, backbone: Path) -> None:
    scores = flow.results_of(finished)["scores"]
    evaluator = RetrievalEvaluator(runs.shapes_dataset())
    for title, model in (
        (BEFORE, flow.model_arguments(backbone).build()),
        (AFTER, ViTRetModel.from_pretrained(finished)),
    ):
        assert scores[title] == pytest.approx(evaluator(model), abs=1e-9)
    assert scores[BEFORE] != scores[AFTER]


def test_results_say_how_they_came_about(finished: Path) -> None:
    results = flow.results_of(finished)
    assert results["model"] == {
        "parameters": sum(value.numel() for value in load_file(finished / "model.safetensors").values()),
        "embedding_dim": 16,
        "pooling": "cls",
        "image_size": 32,
        "resize_size": 32,
        "resize_mode": "shortest_edge",
    }
    train = {"num_images": 24, "num_classes": 6, "num_single_image_classes": 0}
    assert train.items() <= results["data"]["splits"]["train"].items()
    assert results["data"]["num_shared_classes"] == 0
    training = results["training"]
    expected = {"max_steps": 6, "learning_rate": 1e-3, "memory_size": 24, "global_batch_size": 8, "seed": 42}
    assert expected.items() <= training.items()
    assert training["best_step"] in (3, 6)
    assert training["images_per_second"] == pytest.approx(6 * 8 / training["seconds"], rel=0.01)
    assert [line["step"] for line in results["log"] if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert results["environment"]["processes"] == 1
    assert results["formats"] == []
    assert "cores" in results["environment"]["device"]
    assert date.fromisoformat(results["date"]) <= date.today()
    with Image.open(finished / "retrieval.png") as picture:
        assert picture.width > 1000


def test_the_picture_shows_failures_and_the_card_short_vectors(finished: Path) -> None:
    results, card = flow.results_of(finished), (finished / "README.md").read_text()
    model, evaluator = ViTRetModel.from_pretrained(finished), RetrievalEvaluator(runs.shapes_dataset())
    rows = drawn_queries(evaluator, 256)
    found = evaluator.neighbors(rows, 5, evaluator.embed(model, evaluator.query), None)
    at_random, failures, num_wrong = choose_shown(evaluator, rows, found)
    counts = {"num_random": len(at_random), "num_failures": len(failures), "num_wrong": num_wrong, "num_drawn": 20}
    assert results["picture"] == {"num_neighbors": 5, **counts}
    train, test = (embed_images(model, runs.shapes_dataset()[name], progress=False) for name in ("train", "test"))
    labels = runs.shapes_dataset()["test"]["label"]
    # Not by signs: the last of all dimensions is zero after a LayerNorm, and its sign the rounding's.
    settings = {"dims": [16], "reductions": ["pca"], "precisions": ["float32", "float16", "int8"], "progress": False}
    expected = json.loads(json.dumps(asdict(short_vectors(train, test, labels, **settings))))
    assert results["short_vectors"]["scores"][:3] == expected["scores"]
    assert results["short_vectors"]["num_train"] == 24
    assert "### Short vectors" in card
    assert "](curves.png)" in card


def test_scores_come_with_their_protocol_and_intervals(finished: Path, backbone: Path) -> None:
    results = flow.results_of(finished)
    evaluator = RetrievalEvaluator(runs.shapes_dataset())
    models = {
        BEFORE: flow.model_arguments(backbone).build(),
        AFTER: ViTRetModel.from_pretrained(finished),
    }
    assert results["protocol"] == evaluator.protocol(models[AFTER]) == evaluator.protocol(models[BEFORE])
    values = {title: evaluator.query_metrics(evaluator.embed(each, evaluator.query)) for title, each in models.items()}
    for title, by_metric in values.items():
        assert results["intervals"][title] == {name: vars(bootstrap_interval(s)) for name, s in by_metric.items()}
        for name, interval in results["intervals"][title].items():
            assert interval["mean"] == pytest.approx(results["scores"][title][name], abs=1e-12)
    assert results["differences"] == {
        name: vars(compare(scores, values[BEFORE][name])) for name, scores in values[AFTER].items()
    }


def test_the_report_has_the_table_and_the_files(finished: Path) -> None:
    folder, results = finished, flow.results_of(finished)
    lines = report_run(FinishedRun(folder, results, None)).splitlines()
    rows = ["R@1", "R@10", "R@100", "R@1000", "MAP@R", "R-precision"]
    names = [*(f"recall_at_{k}" for k in (1, 10, 100, 1000)), "map_at_r", "r_precision"]
    header = next(
        place for place, line in enumerate(lines) if line.split() == [*f"{BEFORE} {AFTER} difference".split()]
    )
    for line, row, name in zip(lines[header + 1 :], rows, names):
        first, *numbers = line.replace("(", "").replace(")", "").replace("to ", "").split()
        assert first == row
        expected = []
        for title, scores in results["scores"].items():
            interval = results["intervals"][title][name]
            expected += [scores[name], interval["low"], interval["high"]]
        expected += [results["differences"][name][part] for part in ("difference", "low", "high")]
        assert [float(number) for number in numbers] == pytest.approx([100 * x for x in expected], abs=0.051)
    assert lines[header + 7].startswith("In percent; in brackets the 95% interval: bootstrap over 20 queries")
    assert max(map(len, lines[header : header + 7])) <= 100
    assert lines[-3:] == [
        f"Checkpoint   {folder}",
        f"Model card   {folder / 'README.md'}",
        f"Picture      {folder / 'retrieval.png'}",
    ]


def test_without_test_images_nothing_is_measured(backbone: Path, tmp_path: Path) -> None:
    train = DatasetDict(train=runs.shapes_dataset()["train"])
    finished = flow.finish(tmp_path, backbone, train, max_steps=3)
    results, card = flow.results_of(finished.folder), (finished.folder / "README.md").read_text()
    assert results["scores"] == {}
    assert not {"intervals", "differences", "short_vectors", "picture", "protocol"} & {
        name for name, value in results.items() if value
    }
    assert not any("eval_recall_at_1" in line for line in results["log"])
    assert results["training"]["best_step"] == 3  # the last one: there are no scores to choose by
    assert {path.name for path in finished.folder.iterdir()} == WRITTEN - {"retrieval.png"}
    assert "retrieval.png" not in card
    assert "Not trained yet" not in card
    assert "Not measured: the model is trained on all classes" in card
    assert "![Curves over the steps: the loss and its terms](curves.png)" in card
    assert "R@1" not in report_run(finished)
    assert "Scores       none: all classes were trained on" in report_run(finished)
    trained = ViTRetModel.from_pretrained(finished.folder).state_dict()
    last = ViTRetModel.from_pretrained(tmp_path / "checkpoint-3").state_dict()
    assert all(torch.equal(weight, last[name]) for name, weight in trained.items())


def test_without_test_images_the_best_cannot_be_kept(backbone: Path, tmp_path: Path) -> None:
    train = DatasetDict(train=runs.shapes_dataset()["train"])
    with pytest.raises(ValueError, match="expected a test split with --save_strategy best"):
        flow.finish(tmp_path, backbone, train, save_strategy="best")


def test_runs_again_over_its_own_output(finished: Path, backbone: Path, tmp_path: Path) -> None:
    first = flow.run(tmp_path, backbone, max_steps=3, seed=1)
    assert flow.results_of(first)["training"]["max_steps"] == 3
    again = flow.run(tmp_path, backbone)
    assert flow.results_of(again)["scores"] == flow.results_of(finished)["scores"]
    assert {path.name for path in again.iterdir()} == WRITTEN
    assert visible(tmp_path) == {"final", "checkpoint-3", "checkpoint-6"}
    assert not partial(tmp_path)


@pytest.mark.parametrize("named", ["true", "a folder"])
def test_goes_on_from_a_checkpoint(finished: Path, backbone: Path, tmp_path: Path, named: str) -> None:
    flow.run(tmp_path, backbone, max_steps=3)
    wanted = "true" if named == "true" else str(tmp_path / "checkpoint-3")
    resumed = flow.run(tmp_path, backbone, resume_from_checkpoint=wanted)
    assert flow.results_of(resumed)["scores"] == flow.results_of(finished)["scores"]
    training = flow.results_of(resumed)["training"]
    assert training["images_per_second"] == pytest.approx(3 * 8 / training["seconds"], rel=0.01)


@pytest.mark.parametrize("wanted", ["true", "nowhere/checkpoint-9"])
def test_nothing_to_go_on_from(backbone: Path, tmp_path: Path, wanted: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a checkpoint to resume from in .*there is no"):
        flow.run(tmp_path, backbone, resume_from_checkpoint=wanted)
    assert visible(tmp_path) == set()


def test_projection_is_drawn_from_the_seed(backbone: Path, tmp_path: Path) -> None:
    runs_of_two = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = flow.run(tmp_path / name, backbone, model={"embedding_dim": 5}, max_steps=3, seed=seed)
        assert ViTRetModel.from_pretrained(folder).projection.weight.shape == (5, 16)
        assert flow.results_of(folder)["model"]["embedding_dim"] == 5
        runs_of_two.append((flow.results_of(folder)["scores"], (folder / "retrieval.png").read_bytes()))
    assert runs_of_two[0] == runs_of_two[1]
    assert runs_of_two[0][0][BEFORE] != runs_of_two[2][0][BEFORE]


def test_query_and_gallery(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what its maker tells of the data and the weights."""
    license = {"model_license": "other", "model_license_name": "mine", "model_license_link": "https://example.org"}
    benchmark = {"id": "ada/shapes", "tasks": {"first": "recall_at_1"}}
    data = {"dataset_id": "ada/shapes", "revision": "v1", "benchmark": benchmark}
    monkeypatch.setattr(flow, "FACTS", replace(flow.FACTS, dataset="cub", **data, **license))
    dataset = runs.shapes_dataset()
    test = dataset["test"]
    parts = {"query": test.select(range(0, 20, 2)), "gallery": test.select(range(1, 20, 2))}
    folder = flow.run(tmp_path, backbone, DatasetDict(train=dataset["train"], **parts), max_steps=3)
    results = flow.results_of(folder)
    assert set(results["data"]["splits"]) == {"train", "query", "gallery"}
    assert results["scores"][AFTER] == pytest.approx(RetrievalEvaluator(parts)(ViTRetModel.from_pretrained(folder)))
    assert {"name": "cub", **data}.items() <= results["data"].items()
    assert license.items() <= results.items()
    assert results["paper"] == PAPER_FIGURES["cub"]
    card = (folder / "README.md").read_text()
    assert "### Comparison with the paper" in card
    assert "wah2011caltech" in card
    (entry,) = yaml.safe_load((folder / ".eval_results" / "shapes.yaml").read_text())
    assert (entry["dataset"]["task_id"], entry["value"]) == ("first", results["scores"][AFTER]["recall_at_1"])
    assert entry["date"] == results["date"]


def test_classes_that_training_saw_are_counted(backbone: Path, tmp_path: Path) -> None:
    train = runs.shapes_dataset()["train"]
    test = train.select(range(12)).remove_columns("image_id").add_column("image_id", [str(row) for row in range(12)])
    folder = flow.run(tmp_path, backbone, DatasetDict(train=train, test=test), max_steps=3)
    assert flow.results_of(folder)["data"]["num_shared_classes"] == 3
    assert "on images of classes of which training saw 3 too." in (folder / "README.md").read_text()


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise AssertionError("training has started")

    monkeypatch.setattr(RetrievalTrainer, "train", train)


@pytest.mark.usefixtures("no_training")
def test_a_bad_image_stops_the_job_before_it_starts(backbone: Path, tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()
    rows = [{"image": {"bytes": b"\x89PNG broken", "path": None}, "label": 7, "image_id": "7/broken"}]
    test = dataset["test"].from_list(rows, features=dataset["test"].features)
    with pytest.raises(ValueError, match=r"\w+: 1 of 1 images cannot be read:\n  row 0, 7/broken: expected an image"):
        flow.run(tmp_path / "out", backbone, DatasetDict(train=dataset["train"], test=test))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_training")
def test_a_test_split_without_pairs_is_refused(backbone: Path, tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()
    single = DatasetDict(train=dataset["train"], test=dataset["test"].select(range(0, 20, 4)))
    with pytest.raises(ValueError, match="have another one of their class to be found by; none of the 5 has one"):
        flow.run(tmp_path, backbone, single)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ({"pooling": "median"}, {}, "pooling must be one of cls, mean, max, gem; got 'median'"),
        ({"embedding_dim": 0}, {}, "embedding_dim must be at least 1, or None .*; got 0"),
        ({"model": "no/such-backbone"}, {}, "no/such-backbone"),
        ({}, {"per_device_train_batch_size": 64}, "64 images needs 32 classes .* has 6 classes"),
        ({}, {"memory_size": 3}, "memory_size must be 0 .* or at least .* got 3"),
    ],
)
def test_bad_settings_end_with_one_message(
    model: dict[str, Any], changes: dict[str, Any], message: str, backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, OSError), match=f".*{message}"):
        flow.run(tmp_path, backbone, model=model, **changes)
    assert visible(tmp_path) == set()


@pytest.mark.parametrize("moment", ["checkpoint", "final"])
def test_a_kill_in_the_middle_of_writing_leaves_no_half_folder(moment: str, backbone: Path, tmp_path: Path) -> None:
    killed = launch(tmp_path, backbone, moment=moment)
    assert killed.returncode == -9, killed.stderr
    half = {"checkpoint": ".partial-checkpoint-3", "final": ".partial-final"}[moment]
    assert (tmp_path / half / "model.safetensors").exists()
    assert visible(tmp_path) == {"checkpoint": set(), "final": {"checkpoint-3", "checkpoint-6"}}[moment]
    # The next run clears it away, and goes on where there is something to go on from.
    folder = flow.run(tmp_path, backbone, resume_from_checkpoint="true" if moment == "final" else None)
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert not partial(tmp_path)


def test_two_processes_write_one_folder_with_the_scores_of_one(backbone: Path, tmp_path: Path) -> None:
    model = {"embedding_dim": 5}  # drawn at random, and yet the same on both
    both = launch(tmp_path, backbone, processes=2, model=model, per_device_train_batch_size=4, max_steps=3)
    assert both.returncode == 0, both.stderr[-3000:]
    folder = tmp_path / "final"
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert visible(tmp_path) == {"final", "checkpoint-3"}
    assert not partial(tmp_path)
    results = flow.results_of(folder)
    assert results["environment"]["processes"] == 2
    assert results["training"]["global_batch_size"] == 8
    evaluator = RetrievalEvaluator(runs.shapes_dataset())
    torch.manual_seed(42)
    expected = {
        BEFORE: evaluator(flow.model_arguments(backbone, **model).build()),
        AFTER: evaluator(ViTRetModel.from_pretrained(folder)),
    }
    for title, scores in expected.items():
        assert results["scores"][title] == pytest.approx(scores, abs=1e-9), title
    values = evaluator.query_metrics(evaluator.embed(ViTRetModel.from_pretrained(folder), evaluator.query))
    assert results["intervals"][AFTER]["recall_at_1"] == asdict(bootstrap_interval(values["recall_at_1"]))
    # PCA at the width of the vectors takes the mean away, and R@1 of two processes is that of one.
    shorter, found = results["short_vectors"], ViTRetModel.from_pretrained(folder)
    train, test = (embed_images(found, runs.shapes_dataset()[name], progress=False) for name in ("train", "test"))
    labels = runs.shapes_dataset()["test"]["label"]
    expected = asdict(short_vectors(train, test, labels, dims=[5], reductions=["pca"], progress=False))
    assert shorter == json.loads(json.dumps(expected))
    assert both.stdout.count("Results in hand") == 1


def test_one_process_trains_on_one_device(backbone: Path, tmp_path: Path) -> None:
    """Where several are there too: DataParallel would compare the images of each device among themselves."""
    args = runs.arguments(tmp_path, max_steps=1)
    args._n_gpu = 4
    job.finetune(runs.shapes_dataset(), flow.model_arguments(backbone), args, flow.FACTS)
    assert args.n_gpu == 1
    assert args.train_batch_size == 8


@pytest.mark.parametrize(("threads", "processes", "expected"), [(1, 1, 6), (1, 2, 3), (1, 8, 1), (2, 1, 2)], ids=str)
def test_a_process_on_the_cpu_takes_its_share_of_the_cores(
    threads: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        _use_the_cores(PartialState())
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_a_report_says_what_was_left_out(backbone: Path, tmp_path: Path) -> None:
    dataset = with_broken({"train": [3], "test": [0, 1]})
    finished = flow.finish(tmp_path, backbone, dataset, max_steps=2, on_bad_image="skip")
    folder = finished.folder
    assert flow.results_of(folder)["data"]["left_out"] == {"train": ["0/3"], "test": ["6/0", "6/1"]}
    assert flow.results_of(folder)["data"]["splits"]["train"]["num_images"] == 23
    assert "Left out     1 of train, 2 of test: images that cannot be read" in report_run(finished)


def test_a_report_says_what_was_mended(backbone: Path, tmp_path: Path) -> None:
    dataset = with_broken({"train": [3], "test": []}, {"train": [0, 4], "test": [7]})
    finished = flow.finish(tmp_path, backbone, dataset, max_steps=2, on_bad_image="mend")
    data = flow.results_of(finished.folder)["data"]
    assert data["left_out"] == {"train": ["0/3"]}
    assert data["mended"] == {"train": ["0/0", "1/0"], "test": ["7/3"]}
    assert {name: split["num_images"] for name, split in data["splits"].items()} == {"train": 23, "test": 20}
    assert "Mended       2 of train, 1 of test: truncated JPEG files" in report_run(finished)
    card = (finished.folder / "README.md").read_text(encoding="utf-8")
    assert "2 truncated JPEG files of train are completed" in card
