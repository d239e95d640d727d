"""A catalogue of one's own, from beginning to end: every kind of image and source, and every kind of fault."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hf_vitret.evaluation.reporting.report import EvaluationResult
from tests.recipes.conftest import ROOT
from tests.training.runs import draw
from tests.workflows.finetune import flow

WRITTEN = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json", "results.json", "retrieval.png"}


def write_hard_images(photos: Path) -> None:
    """Add what a catalogue on a disk holds: every mode and format, tiny images, names in any script, empty folders."""
    shirt, vase = photos / "chemise d'été", photos / "花瓶 (azul)"
    for folder in (shirt, vase, photos / "nothing here yet"):
        folder.mkdir()
    Image.new("RGB", (1, 1), "red").save(shirt / "one pixel.png")
    draw(20, 0).convert("L").save(shirt / "grau.png")
    draw(20, 1).convert("RGBA").save(shirt / "прозрачный.png")
    draw(20, 2).convert("CMYK").save(shirt / "print.jpg")
    draw(21, 0).quantize(8).save(vase / "palette.gif")
    draw(21, 1).convert("LA").save(vase / "la.png")
    draw(21, 2).convert("1").save(vase / "bits.png")
    Image.fromarray(np.asarray(draw(21, 3).convert("L")).astype(np.uint16) * 257).save(vase / "16 bit.tiff")
    (vase / "notes.txt").write_text("not an image")


def test_catalogue_from_folders_by_accelerate(
    photos: Path, quick: list[str], tmp_path: Path, environment: dict[str, str], evaluate_recipe, monkeypatch
) -> None:
    write_hard_images(photos)
    output = tmp_path / "out put"
    accelerate = shutil.which("accelerate", path=str(Path(sys.executable).parent))
    assert accelerate is not None
    command = [accelerate, "launch", "--config_file", ROOT / "recipes" / "accelerate" / "cpu.yaml"]
    command += [ROOT / "recipes" / "train_catalogue.py", "--data_dir", photos, "--output_dir", output, *quick]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert {path.name for path in (output / "final").iterdir()} >= WRITTEN
    results = flow.results_of(output / "final")
    splits = results["data"]["splits"]
    assert splits["train"]["num_images"] + splits["test"]["num_images"] == 8 * 4 + 8
    assert splits["train"]["num_classes"] + splits["test"]["num_classes"] == 10
    assert results["title"] == "photos"
    assert "left out 1 folders without images: nothing here yet" in result.stderr
    # The command shown last does what it is there for.
    next_line = next(line for line in result.stdout.splitlines() if line.startswith("Next"))
    python, script, *line = shlex.split(next_line.removeprefix("Next"))
    assert (python, script) == ("python", "recipes/evaluate.py")
    monkeypatch.setattr(sys, "argv", [script, *line, "--output_dir", str(tmp_path / "evaluated")])
    evaluate_recipe.main()
    evaluated = EvaluationResult.load(tmp_path / "evaluated" / "evaluation.json")
    assert evaluated.metrics == pytest.approx(results["scores"]["after training"], abs=1e-12)
    assert evaluated.protocol.items() >= results["protocol"].items()


def write_table(photos: Path, rows: list[tuple[str, str]], header: str = "image,label") -> Path:
    table = photos / "table.csv"
    table.write_text("\n".join([header, *(f"{path},{label}" for path, label in rows)]) + "\n", encoding="utf-8")
    return table


def rows_of(photos: Path) -> list[tuple[str, str]]:
    """List the drawn images with the class of their folder in words."""
    return [(path.relative_to(photos).as_posix(), path.parent.name) for path in sorted(photos.rglob("*.png"))]


@pytest.mark.parametrize("kind", ["csv", "numbers", "parquet", "queries"])
def test_catalogue_from_other_sources(kind: str, photos: Path, quick: list[str], run_recipe, tmp_path: Path) -> None:
    rows, line = rows_of(photos), []
    if kind == "csv":
        source = write_table(photos, rows, "file,kind of thing")
        line = ["--image_column", "file", "--label_column", "kind of thing"]
    elif kind == "numbers":
        source = write_table(photos, [(path, f"{1000 * int(label[-1])}") for path, label in rows])
    elif kind == "parquet":
        source = photos / "table.parquet"
        columns = {"image": [path for path, _ in rows], "label": [int(label[-1]) for _, label in rows]}
        Dataset.from_dict(columns).to_parquet(str(source))
    else:
        source = tmp_path / "tree"
        for path, label in rows:
            split = "train" if int(label[-1]) < 4 else "query" if path.endswith("0.png") else "gallery"
            (source / split / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / path, source / split / path)
    run_recipe("train_catalogue", "--data_dir", str(source), "--output_dir", "out", *line, *quick)
    results = flow.results_of(Path("out/final"))
    splits = results["data"]["splits"]
    assert splits["train"]["num_images"] == 16
    assert set(splits) == ({"train", "query", "gallery"} if kind == "queries" else {"train", "test"})
    assert results["scores"]["after training"]["num_queries"] == (4 if kind == "queries" else 16)


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


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("prepare", "line", "message"),
    [
        (one_image_per_class, [], "each of the 8 classes has one image .a folder with one image per class.*"),
        (as_it_is, ["--per_device_train_batch_size", "64"], "64 images needs 32 classes .* has 4 classes .* at most"),
        (unreadable_image, [], r"\w+: 1 of 16 images cannot be read:\n  row \d+, class 3/2.png: .*[Tt]runcated"),
        (null_labels, [], "column 'label' is null in 2 rows: 30, 31"),
        (missing_column, [], "no column 'label'; it has image, kind. Name the label column with label_column"),
        (missing_file, [], "1 of 33 images are not there: class 0/gone.png"),
        (images_beside_folders, [], "holds images beside its class folders: loose.png"),
        (as_it_is, ["--pooling", "median"], "pooling must be one of cls, mean, max, gem; got 'median'"),
        (as_it_is, ["--embedding_dim", "0"], "embedding_dim must be at least 1, or None .* got 0"),
        (as_it_is, ["--backbone", "no/such-model"], "expected a backbone in no/such-model"),
        (as_it_is, ["--test_split", "test"], "no split 'test'; it has train"),
        (as_it_is, ["--test_fraction", "1.5"], "test_fraction"),
        (lambda photos: photos / "nowhere", [], "nowhere"),
    ],
    ids=lambda value: getattr(value, "__name__", None) if callable(value) else " ".join(value)[:40] if value else "",
)
def test_bad_input_ends_with_one_message(
    prepare, line: list[str], message: str, photos: Path, quick: list[str], run_recipe
) -> None:
    source = prepare(photos)
    with pytest.raises(SystemExit, match=f"^error: [^\n]*{message}"):
        run_recipe("train_catalogue", "--data_dir", str(source), "--output_dir", "out", *quick, *line)
    assert not list(Path().rglob("final"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["--data_dir", "my photos", "--bf16", "false"], ["--data_dir", "my photos"]),
        (
            ["--dataset_name", "a/b", "--dataset_config", "c", "--dataset_revision", "v1", "--label_column", "sku"],
            ["--dataset_name", "a/b", "--dataset_config", "c", "--dataset_revision", "v1", "--label_column", "sku"],
        ),
        (
            ["--data_dir", "x", "--split_seed", "4", "--test_fraction", "0.25", "--data_license", "mine"],
            ["--data_dir", "x", "--test_fraction", "0.25", "--seed", "4"],
        ),
        (
            ["--dataset_name", "a/b", "--label_column", "sku", "--streaming", "--split_seed", "4"],
            ["--data_dir", "out/images-64", "--seed", "4"],
        ),
        (
            ["--data_dir", "x", "--bf16", "true", "--eval_ks", "1", "5", "--on_bad_image", "skip"],
            ["--data_dir", "x", "--on_bad_image", "skip", "--ks", "1", "5", "--dtype", "bfloat16"],
        ),
    ],
    ids=lambda value: " ".join(value)[-25:],
)
def test_the_next_command_is_of_the_same_test_images(
    line: list[str], expected: list[str], backbone: Path, recipe, evaluate_recipe, monkeypatch
) -> None:
    module = recipe("train_catalogue")
    start = ["--output_dir", "out", "--backbone", str(backbone), "--resize_size", "64", "--image_size", "56"]
    start += [] if "--bf16" in line else ["--bf16", "false"]
    monkeypatch.setattr(sys, "argv", ["recipes/train_catalogue.py", *start, *line])
    asked: list[str] = []
    monkeypatch.setattr(module, "load", lambda *_: None)
    monkeypatch.setattr(module, "finetune", lambda *inputs: asked.extend(shlex.split(inputs[-1].next_command)))
    module.main()
    assert asked == ["python", "recipes/evaluate.py", "--model", "out/final", *expected]
    evaluate_recipe.command_line().parse_args(asked[2:])


def test_what_the_card_is_told(recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    module, facts = recipe("train_catalogue"), []
    monkeypatch.setattr(module, "load", lambda *_: None)
    monkeypatch.setattr(module, "finetune", lambda *inputs: facts.append(inputs[-1]))
    line = ["--dataset_name", "ada/shapes", "--dataset_revision", "v2", "--benchmark_task", "first"]
    line += ["--model_license", "other", "--model_license_name", "mine", "--model_license_link", "https://example.org"]
    monkeypatch.setattr(sys, "argv", ["recipes/train_catalogue.py", *line, "--hub_token", "s3cret"])
    module.main()
    (told,) = facts
    assert (told.dataset_id, told.revision, told.dataset) == ("ada/shapes", "v2", None)
    assert told.benchmark == {"id": "ada/shapes", "tasks": {"first": "recall_at_1"}, "revision": "v2"}
    assert (told.model_license, told.model_license_name, told.model_license_link) == ("other", "mine", line[-1])
    assert "s3cret" not in told.command + told.next_command
    for name in ("benchmark_task", "model_license"):
        assert f"--{name}" not in told.next_command
    monkeypatch.setattr(sys, "argv", ["recipes/train_catalogue.py", "--data_dir", "x", "--model_license_name", "mine"])
    with pytest.raises(SystemExit, match=r"^error: expected model_license_name and model_license_link both"):
        module.main()
