"""Images of one's own from every kind of source, from the command to the scores, and the command that comes next."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hf_vitret.cli.commands import train as command
from hf_vitret.cli.main import main
from hf_vitret.data.locating import NAMED, PAIRS
from hf_vitret.evaluation.reporting.report import EvaluationResult
from hf_vitret.workflows.finetune import finetune as job
from hf_vitret.workflows.finetune.run_report import FinishedRun
from tests.cli.commands.next_command import next_command
from tests.training.runs import draw
from tests.workflows.finetune import flow


def write_hard_images(photos: Path) -> None:
    """Add what a folder on a disk holds: every mode and format, tiny images, names in any script, empty folders."""
    shirt, vase = photos / "chemise d'été", photos / "花瓶 (azul)"
    for folder in (shirt, vase, photos / "nothing here yet"):
        folder.mkdir()
    Image.new("RGB", (1, 1), "red").save(shirt / "one pixel.png")
    draw(20, 0).convert("L").save(shirt / "grau.png")
    draw(20, 1).convert("RGBA").save(shirt / "прозрачный.png")
    draw(20, 2).convert("CMYK").save(shirt / "print.jpg")
    draw(21, 0).quantize(8).save(vase / "palette.png")
    draw(21, 1).convert("LA").save(vase / "la.png")
    draw(21, 2).convert("1").save(vase / "bits.png")
    Image.fromarray(np.asarray(draw(21, 3).convert("L")).astype(np.uint16) * 257).save(vase / "16 bit.tiff")
    (vase / "notes.txt").write_text("not an image")


def write_table(
    photos: Path, rows: list[tuple[str, str]], header: str = "image,label", name: str = "table.csv"
) -> Path:
    table = photos / name
    separator = "\t" if name.endswith("tsv") else ","
    lines = [header, *(f"{path},{label}" for path, label in rows)]
    table.write_text("\n".join(lines).replace(",", separator) + "\n", encoding="utf-8")
    return table


def rows_of(photos: Path) -> list[tuple[str, str]]:
    """List the drawn images with the class of their folder in words."""
    return [(path.relative_to(photos).as_posix(), path.parent.name) for path in sorted(photos.rglob("*.png"))]


def folder(photos: Path) -> tuple[Path, list[str]]:
    write_hard_images(photos)
    return photos, []


def csv(photos: Path) -> tuple[Path, list[str]]:
    table = write_table(photos, rows_of(photos), "file,kind of thing")
    return table, ["--image_column", "file", "--label_column", "kind of thing"]


def tsv_of_numbers(photos: Path) -> tuple[Path, list[str]]:
    rows = [(path, f"{1000 * int(label[-1])}") for path, label in rows_of(photos)]
    return write_table(photos, rows, header="image,label", name="table.tsv"), ["--test_fraction", "0.25"]


def jsonl(photos: Path) -> tuple[Path, list[str]]:
    table = photos / "table.jsonl"
    table.write_text("".join(json.dumps({"image": path, "label": label}) + "\n" for path, label in rows_of(photos)))
    return table, ["--split_seed", "3"]


def parquet(photos: Path) -> tuple[Path, list[str]]:
    rows, table = rows_of(photos), photos / "table.parquet"
    columns = {"image": [path for path, _ in rows], "label": [int(label[-1]) for _, label in rows]}
    Dataset.from_dict(columns).to_parquet(str(table))
    return table, []


def prepared(photos: Path) -> tuple[Path, list[str]]:
    assert main(["prepare", str(photos), "--output_dir", "prepared photos", "--short_side", "32"]) == 0
    return Path("prepared photos"), []


def queries(photos: Path) -> tuple[Path, list[str]]:
    tree = photos.parent / "tree"
    for path, label in rows_of(photos):
        split = "train" if int(label[-1]) < 4 else "query" if path.endswith("0.png") else "gallery"
        (tree / split / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / path, tree / split / path)
    return tree, []


# Of each source: images to train on, and queries.
SOURCES = [(folder, 20, 20), (csv, 16, 16), (tsv_of_numbers, 24, 8), (jsonl, 16, 16), (parquet, 16, 16)]
SOURCES += [(prepared, 16, 16), (queries, 16, 4)]


@pytest.mark.parametrize(
    ("write", "num_train", "num_queries"), SOURCES, ids=lambda value: getattr(value, "__name__", "")
)
def test_from_images_to_scores_and_to_the_same_scores(
    write, num_train: int, num_queries: int, photos: Path, quick: list[str], run, caplog
) -> None:
    source, line = write(photos)
    ended = run("train", source, "--output_dir", "out put", *line, *quick)
    assert ended.status == 0, ended.err
    results = flow.results_of(Path("out put/final"))
    splits = results["data"]["splits"]
    assert set(splits) == ({"train", "query", "gallery"} if write is queries else {"train", "test"})
    scores = results["scores"]["after training"]
    if write is folder:  # the classes differ in size
        assert splits["train"]["num_images"] + splits["test"]["num_images"] == 8 * 4 + 8
        assert splits["train"]["num_classes"] + splits["test"]["num_classes"] == 10
        assert "left out 1 folders without images: nothing here yet" in caplog.text
    else:
        assert (splits["train"]["num_images"], scores["num_queries"]) == (num_train, num_queries)
    assert results["title"] == source.name
    assert main([*next_command(ended.out), "--output_dir", "evaluated"]) == 0
    evaluated = EvaluationResult.load("evaluated/evaluation.json")
    assert evaluated.metrics == pytest.approx(scores, abs=1e-12)
    assert evaluated.protocol.items() >= results["protocol"].items()


def one_image_per_class(photos: Path) -> Path:
    for path in photos.rglob("[123].png"):
        path.unlink()
    return photos


def unreadable_image(photos: Path) -> Path:
    content = (photos / "class 3" / "2.png").read_bytes()
    (photos / "class 3" / "2.png").write_bytes(content[: len(content) // 2])
    return photos


def null_labels(photos: Path) -> Path:
    rows = rows_of(photos)
    return write_table(photos, [*rows[:-2], (rows[-2][0], ""), (rows[-1][0], "")])


def missing_column(photos: Path) -> Path:
    return write_table(photos, rows_of(photos), "image,kind")


def missing_file(photos: Path) -> Path:
    return write_table(photos, [*rows_of(photos), ("class 0/gone.png", "class 0")])


def images_beside_folders(photos: Path) -> Path:
    draw(0, 0).save(photos / "loose.png")
    return photos


def as_it_is(photos: Path) -> Path:
    return photos


def nowhere(photos: Path) -> Path:
    return photos / "nowhere"


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("prepare", "line", "message"),
    [
        (one_image_per_class, [], "each of the 8 classes has one image"),
        (as_it_is, ["--batch_size", "64"], "64 images needs 32 classes"),
        (unreadable_image, [], "1 of 16 images cannot be read:\n  row "),
        (null_labels, [], "column 'label' is null in 2 rows: 30, 31"),
        (missing_column, [], "no column 'label'; it has image, kind. Name the label column with label_column"),
        (missing_file, [], "1 of 33 images are not there: row 32: class 0/gone.png"),
        (images_beside_folders, [], "holds images beside its class folders: loose.png"),
        (as_it_is, ["--pooling", "median"], "pooling must be one of cls, mean, max, gem; got 'median'"),
        (as_it_is, ["--embedding_dim", "0"], "embedding_dim must be at least 1, or None"),
        (as_it_is, ["--model", "no/such-model"], "expected a model in no/such-model"),
        (as_it_is, ["--revision", "v1"], "expected --revision with a model of the Hub; got the folder"),
        (as_it_is, ["--test_split", "test"], "no split 'test'; it has "),
        (as_it_is, ["--test_fraction", "1.5"], "test_fraction"),
        (
            as_it_is,
            ["--test_fraction", "0.5", "--test_split", "x"],
            "expected --test_fraction or the name of a test split",
        ),
        (as_it_is, ["--data_dir", "x"], "expected --data_dir with the name of a data set only"),
        (as_it_is, ["--dataset_revision", "v1"], "expected --dataset_revision with a data set of the Hub only"),
        (as_it_is, ["--min_drawings", "3"], "expected --min_drawings with icons only"),
        (as_it_is, ["--streaming"], "expected --streaming with a data set of the Hub only, user/name; leave it out"),
        (as_it_is, ["--benchmark_task", "x"], "expected --benchmark_task with a data set of the Hub only"),
        (as_it_is, ["--model_license_name", "x"], "expected model_license_name and model_license_link both"),
        (as_it_is, ["--device", "warp:7"], "expected a device of this machine"),
        (as_it_is, ["--config", "gone.yaml"], "there is no file 'gone.yaml'"),
        (as_it_is, ["--demo"], "expected --demo with sfm120k only"),
        (nowhere, [], f"no data set by name ({', '.join(sorted([*NAMED, PAIRS]))}), and no id on the Hub"),
        (as_it_is, ["--lora_alpha", "2"], "expected --lora_rank with --lora_alpha"),
        (as_it_is, ["--resume_from_checkpoint", "true"], "expected a checkpoint to resume from in "),
    ],
    ids=lambda value: getattr(value, "__name__", None) if callable(value) else " ".join(value)[:30] if value else "",
)
def test_bad_input_is_one_message_and_status_2(
    prepare, line: list[str], message: str, photos: Path, quick: list[str], run
) -> None:
    ended = run("train", prepare(photos), *quick, *line)
    assert ended.status == 2
    assert [message in part for part in ended.err.split("error: ")].count(True) == 1
    assert "Traceback" not in ended.err
    assert not list(Path().rglob("final"))


@pytest.mark.parametrize("name", sorted({*NAMED, PAIRS} - {"icons"}))
def test_a_data_set_of_the_field_says_what_its_folder_is(name: str, run) -> None:
    ended = run("train", name)
    assert (ended.status, ended.err.startswith(f"error: expected --data_dir with {name}: ")) == (2, True)
    ended = run("train", name, "--data_dir", "nowhere")
    assert (ended.status, "nowhere" in ended.err) == (2, True)
    assert not list(Path().rglob("final"))


@pytest.fixture
def facts_of(run, monkeypatch: pytest.MonkeyPatch):
    """Give the function that runs the command up to the training, and returns the facts of the card."""
    found = []

    def finetune(dataset, model_args, args, facts, **_):
        found.append(facts)
        return FinishedRun(Path(args.output_dir) / "final", {}, None)

    monkeypatch.setattr(job, "finetune", finetune)
    monkeypatch.setattr("hf_vitret.cli.options.data_options.ChosenData.load", lambda *_, **__: None)

    def read(*line: object):
        ended = run("train", *line)
        assert ended.status == 0, ended.err
        return found.pop()

    return read


def test_what_the_card_says_of_data_and_weights(facts_of, backbone: Path) -> None:
    licenses = [
        "--model_license",
        "other",
        "--model_license_name",
        "mine",
        "--model_license_link",
        "https://example.org",
    ]
    line = ["ada/shapes", "--dataset_revision", "v2", "--benchmark_task", "first", "--data_license", "CC0", *licenses]
    facts = facts_of(*line, "--push_to_hub", "true", "--hub_token", "s3cret")
    assert (facts.name, facts.dataset_id, facts.revision, facts.dataset) == ("ada/shapes", "ada/shapes", "v2", None)
    assert facts.benchmark == {"id": "ada/shapes", "tasks": {"first": "recall_at_1"}, "revision": "v2"}
    assert (facts.model_license, facts.model_license_name, facts.license) == ("other", "mine", "CC0")
    assert facts.base_model == "facebook/dinov2-small"
    assert "s3cret" not in facts.command
    assert "s3cret" not in Path("outputs/shapes/run.yaml").read_text()
    facts = facts_of("cub", "--data_dir", "/home/ada/CUB", "--model", backbone)
    assert (facts.name, facts.dataset, facts.base_model) == ("CUB-200-2011", "cub", None)
    assert facts.command == f"hf-vitret train cub --data_dir CUB --model {backbone.name}"
    assert "Flickr" in facts.license


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["my photos", "--bf16", "false"], ["my photos"]),
        (
            ["a/b", "--dataset_config", "c", "--dataset_revision", "v1", "--label_column", "sku"],
            ["a/b", "--dataset_config", "c", "--dataset_revision", "v1", "--label_column", "sku"],
        ),
        (["a/b", "--streaming", "--label_column", "sku", "--split_seed", "4"], ["out/images", "--split_seed", "4"]),
        (
            ["my photos", "--bf16", "true", "--eval_ks", "1", "5"],
            ["my photos", "--ks", "1", "5", "--dtype", "bfloat16"],
        ),
        (["cub", "--data_dir", "x y"], ["cub", "--data_dir", "x y", "--ks", "1", "2", "4", "8", "10"]),
        (["icons", "--bf16", "false"], ["icons", "--min_drawings", "3"]),
    ],
    ids=lambda value: " ".join(value)[:25],
)
def test_the_next_command_is_of_the_same_test_images(line: list[str], expected: list[str], tmp_path: Path) -> None:
    precision = [] if "--bf16" in line else ["--bf16", "false"]
    parsed = command.parse([*line, *precision, "--output_dir", "out"], "hf-vitret train").train
    finished = FinishedRun(Path("out/final"), {"scores": {"after training": {}}}, None)
    model = ["--model", Path("out/final")]
    place = next((row for row, part in enumerate(expected) if part in ("--ks", "--dtype")), len(expected))
    wanted = ["hf-vitret", "evaluate", *expected[:place], *model, *expected[place:]]
    found = command._next_command(parsed, finished)
    assert found == [Path(part) if part == "x y" else part for part in wanted]


def test_copies_of_a_stream_have_the_size_that_the_model_resizes_to(backbone: Path, tmp_path: Path, tiny_model) -> None:
    tiny_model.config.resize_size = 41
    tiny_model.save_pretrained(tmp_path / "checkpoint")
    for arguments, side in [
        ({"model": str(backbone)}, 256),
        ({"model": str(backbone), "image_size": 112}, 128),
        ({"model": str(backbone), "resize_size": 300}, 300),
        ({"model": str(tmp_path / "checkpoint")}, 41),
    ]:
        assert job.ModelArguments(**arguments).find_resize_size() == side
