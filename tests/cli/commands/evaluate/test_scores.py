"""`hf-vitret evaluate` on any model and data: the scores in the files, and what is refused before the work starts."""

import json
import shlex
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalEvaluator, ViTRetModel, load_retrieval_dataset
from hf_vitret.cli.command_table import command_parser
from hf_vitret.cli.commands import evaluate as command
from hf_vitret.cli.main import main
from hf_vitret.data import loading
from hf_vitret.evaluation.metrics import metric_choice
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS, PostProcessedSearch
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval
from hf_vitret.evaluation.reporting.report import EvaluationResult
from hf_vitret.models import configuration_vitret
from hf_vitret.workflows.evaluate import evaluation_choices
from tests.cli.commands.evaluate.conftest import NUM_CLASSES, NUM_IMAGES
from tests.cli.commands.next_command import next_command
from tests.data.test_readable_images import cut_jpeg
from tests.training.runs import draw, shapes_dataset
from tests.warm_process import run_warm

WRITTEN = "outputs/evaluation/evaluation.json"
QUICK = ["--num_resamples", "50"]
RUN = "import sys; from hf_vitret.cli.main import main; sys.exit(main(sys.argv[1:]))"


def expected(model: ViTRetModel, photos: Path) -> dict[str, torch.Tensor]:
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir=photos), ks=[1, 5])
    return evaluator.query_metrics(evaluator.embed(model, evaluator.query, progress=False))


def test_a_backbone_alone(backbone: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-m", str(backbone), "--ks", "5", "1", "--image_size", "32", "--bootstrap_seed", "4"]
    assert main(["evaluate", "photos", *line]) == 0
    result = EvaluationResult.load(WRITTEN)
    values = expected(ViTRetModel.from_backbone(backbone, image_size=32), photos)
    assert 0 < values["map_at_r"].mean() < 1
    for name, scores in values.items():
        assert result.intervals[name] == bootstrap_interval(scores, seed=4)
        assert result.metrics[name] == pytest.approx(float(scores.mean()), abs=1e-14)
    assert result.model == f"{backbone.parent.name}/{backbone.name}"
    protocol = {name: result.protocol[name] for name in ("data_set", "image_size", "resize_size", "pooling", "dtype")}
    assert protocol == {
        **{"data_set": "photos", "image_size": 32, "resize_size": 37, "pooling": "cls", "dtype": "float32"}
    }
    num_test = NUM_CLASSES * NUM_IMAGES // 2
    assert (result.protocol["num_queries"], result.protocol["num_gallery"]) == (num_test, num_test)
    shown = capsys.readouterr().out
    assert f"Evaluating {result.model} at 32 px ...\n" in shown
    assert result.table() in shown
    assert f"Wrote        {WRITTEN}\n" in shown
    assert str(photos.parent) not in Path(WRITTEN).read_text()


@pytest.mark.usefixtures("photos")
def test_the_folder_of_a_run_stands_for_its_checkpoint(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["evaluate", "photos", "-m", str(checkpoint), *QUICK, "-o", "of the checkpoint", "--quiet"]) == 0
    assert main(["evaluate", "photos", "-m", str(checkpoint.parent), *QUICK, "-o", "of the run", "--quiet"]) == 0
    assert "is the folder of a run" in caplog.text
    one, other = (EvaluationResult.load(f"of the {name}/evaluation.json") for name in ("checkpoint", "run"))
    assert one.metrics == other.metrics
    shown = capsys.readouterr().out
    assert "Evaluating" not in shown
    assert "Next" not in shown
    assert shown.count("Wrote        of the ") == 2


def test_queries_against_a_gallery_in_half_precision(checkpoint: Path, photos: Path) -> None:
    for split, images in (("train", (0, 6)), ("query", (1, 2)), ("gallery", (3, 4, 5))):
        for class_id in range(4):
            folder = photos.parent / "sets" / split / f"class {class_id}"
            folder.mkdir(parents=True)
            for image in images:
                draw(class_id, image).save(folder / f"{image}.png")
    line = ["--dtype", "bfloat16", "--ties", "expected", "--metrics", "recall_at_k", "--ks", "2", "--trusted_images"]
    assert main(["evaluate", "sets", "-m", str(checkpoint), *line, *QUICK]) == 0
    protocol = EvaluationResult.load(WRITTEN).protocol
    assert (protocol["num_queries"], protocol["num_gallery"]) == (8, 12)
    assert (protocol["dtype"], protocol["ties"]) == ("bfloat16", "expected")


def test_a_search_with_a_step_after_embedding(backbone: Path, photos: Path) -> None:
    line = ["--ks", "1", "5", "--rerank", "query_expansion", "--rerank_neighbors", "2"]
    assert main(["evaluate", "photos", "-m", str(backbone), *line]) == 0
    result = EvaluationResult.load(WRITTEN)
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir=photos), ks=[1, 5])
    vectors = evaluator.embed(ViTRetModel.from_backbone(backbone), evaluator.query, progress=False)
    values = PostProcessedSearch(evaluator, "query_expansion", 2).query_metrics(vectors)
    assert result.intervals == {name: bootstrap_interval(scores) for name, scores in values.items()}
    assert (result.protocol["post_processing"], result.protocol["num_neighbors"]) == ("query_expansion", 2)


def test_images_that_cannot_be_read(checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for broken in photos.glob("*/3.png"):
        broken.write_bytes(b"not an image")
    line = ["evaluate", "photos", "-m", str(checkpoint), *QUICK]
    assert main(line) == 2
    assert "error: test: 3 of 12 images cannot be read" in capsys.readouterr().err
    assert not Path("outputs").exists()
    assert main([*line, "--on_bad_image", "skip"]) == 1
    assert "Left out     3 of test cannot be read\n" in capsys.readouterr().out
    protocol = EvaluationResult.load(WRITTEN).protocol
    assert protocol["unreadable_images"] == {"test": 3}
    assert protocol["num_queries"] == 9


def test_truncated_jpegs_are_mended(
    checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    cut = sorted(photos.glob("*/3.png"))[:1] + sorted(photos.glob("*/2.png"))[-1:]
    for path in cut:
        path.with_suffix(".jpg").write_bytes(cut_jpeg(5, 700))
        path.unlink()
    line = ["evaluate", "photos", "-m", str(checkpoint), *QUICK, "--test_fraction", "0.5", "--on_bad_image", "mend"]
    assert main(line) == 0
    protocol = EvaluationResult.load(WRITTEN).protocol
    out = capsys.readouterr().out
    (number,) = protocol["mended_images"].values()
    assert number in (1, 2)
    assert f"Mended       {number} of test are truncated JPEG files\n" in out
    assert protocol["unreadable_images"] == {}
    assert protocol["num_queries"] == 12


@pytest.mark.usefixtures("photos")
def test_data_sets_by_name_and_of_the_hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        loading, "load_retrieval_dataset", lambda *of, **how: calls.append((of, how)) or shapes_dataset()
    )
    line = ["-m", str(checkpoint), *QUICK]
    assert main(["evaluate", "sop", "--data_dir", "there", *line]) == 0
    of_hub = ["--dataset_revision", "v1", "--dataset_config", "large", "--label_column", "kind", "--split_seed", "3"]
    assert main(["evaluate", "user/photos", *of_hub, *line]) == 0
    assert main(["evaluate", "icons", "--min_drawings", "3", *line]) == 0
    assert calls == [
        (("sop",), {"data_dir": "there"}),
        (
            ("catalogue",),
            {"data_dir": None, "dataset_name": "user/photos", "revision": "v1", "dataset_config": "large"}
            | {"label_column": "kind", "seed": 3},
        ),
        (("icons",), {"data_dir": None, "min_drawings": 3}),
    ]
    assert EvaluationResult.load(WRITTEN).protocol["data_set"] == "icons"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere", "expected images in 'nowhere', and found none"),
        ("photos --data_dir x", "expected --data_dir with the name of a data set only"),
        ("sop --data_dir x --dataset_config a", "expected --dataset_config with a data set of the Hub only"),
        ("sop --data_dir x --test_split a", "expected --test_split with images of your own only"),
        ("photos --test_fraction 0", "leave --test_fraction 0 out"),
        ("photos --ks 0", "ks must be integers of at least 1"),
        ("photos --rerank_neighbors 3", "expected --rerank with --rerank_neighbors, which is a setting of it"),
        ("photos --rerank diffusion --rerank_neighbors 0", "num_neighbors must be at"),
        ("photos --rerank diffusion --ties expected", "ties must be pessimistic for"),
        ("photos --confidence 95", "95.0"),
        ("photos --image_size 64 --resize_size 32", "resize_size must be at least"),
        ("photos --trusted_images --on_bad_image skip", "expected no --on_bad_image with --trusted_images"),
        ("photos --compare no/such", "expected a model in no/such"),
        ("photos --compare_image_size 32", "expected --compare with --compare_image_size, which is a setting of it"),
        ("photos --false_match_rates 2", "expected false-match rates from 0 to 1; got 2.0"),
        ("photos --false_match_rates 0.1 --rerank diffusion", "expected no --rerank with --false_match_rates"),
        ("photos --memory_budget 1B", "memory_budget must be 512 bytes or more"),
        ("photos --num_processes 0", "expected --num_processes of 1 or more; got 0"),
        ("photos --device cuda:99", "cuda:99"),
    ],
)
@pytest.mark.usefixtures("no_embedding", "photos")
def test_what_is_wrong_is_said_before_the_work(
    line: str, message: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *shlex.split(line), "-m", str(checkpoint)]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert "Wrote" not in out
    assert not Path("outputs").exists()


def test_a_memory_budget_changes_no_score(checkpoint: Path, photos: Path) -> None:
    line = ["evaluate", "photos", "-m", str(checkpoint), *QUICK]
    for folder, budget in (("whole", []), ("parts", ["--memory_budget", "1KiB"])):
        assert main([*line, *budget, "-o", folder]) == 0
    assert EvaluationResult.load("whole/evaluation.json") == EvaluationResult.load("parts/evaluation.json")


def test_json_is_all_that_is_printed(checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "photos", "-m", str(checkpoint), *QUICK, "--json"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content == {"evaluation": json.loads(Path(WRITTEN).read_text()), "files": [WRITTEN]}
    assert "Evaluating " in err
    assert next_command(err)[0] == "doctor"


def test_the_next_command_is_one_that_runs(checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos.rename("my photos")
    line = ["--test_fraction", "0.4", "--split_seed", "2", "--device", "cpu", "--image_size", "16"]
    assert main(["evaluate", "my photos", "-m", str(checkpoint), *line, *QUICK]) == 0
    printed = next_command(capsys.readouterr().out)
    given = ["--test_fraction", "0.4", "--split_seed", "2", "--model", str(checkpoint)]
    assert printed == ["doctor", str(photos.with_name("my photos")), *given, "--image_size", "16", "--device", "cpu"]
    assert main(printed) in (0, 1)
    assert Path("outputs/doctor/doctor.html").is_file()


def test_two_processes_score_what_one_does(checkpoint: Path, photos: Path) -> None:
    """Images are left out, so that the status is 1; the launcher hands it on, and prints nothing of its own."""
    for broken in photos.glob("*/3.png"):
        broken.write_bytes(b"not an image")
    line = ["evaluate", "photos", "-m", str(checkpoint), *QUICK, "--on_bad_image", "skip", "--json"]
    ended = [run_warm(RUN, *line, "-n", str(count), "-o", f"by {count}", folder=photos.parent) for count in (1, 2)]
    assert [each.returncode for each in ended] == [1, 1], ended[1].stderr
    contents = [json.loads(each.stdout) for each in ended]
    assert contents[0]["evaluation"] == contents[1]["evaluation"]
    assert contents[1]["files"] == ["by 2/evaluation.json"]
    assert "Traceback" not in ended[1].stderr
    assert ended[1].stderr.count("Evaluating ") == 1


def test_the_help_shows_commands_that_parse() -> None:
    lines = [line for line in (command.__doc__ or "").splitlines() if line.startswith("  hf-vitret evaluate")]
    assert len(lines) == 5
    for line in lines:
        assert isinstance(command_parser("evaluate").parse_args(shlex.split(line)[2:]), Namespace)


def test_choices_are_those_of_the_functions() -> None:
    choices = evaluation_choices
    assert (choices.KS, choices.METRICS, choices.DEFAULT_METRICS, choices.TIES) == (
        metric_choice.DEFAULT_KS,
        metric_choice.METRICS,
        metric_choice.DEFAULT_METRICS,
        metric_choice.TIES,
    )
    assert tuple(POST_PROCESSINGS) == choices.RERANKINGS
    assert (choices.POOLINGS, choices.RESIZE_MODES) == (
        configuration_vitret.POOLINGS,
        configuration_vitret.RESIZE_MODES,
    )
    assert all(isinstance(getattr(torch, name), torch.dtype) for name in choices.DTYPES)
