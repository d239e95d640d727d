"""What a folder holds and a command does not use is printed, written and, if it looks like an image, the status."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from hf_vitret.cli.main import main
from hf_vitret.data.preparation.prepared_folder import read_manifest
from tests.training.runs import draw
from tests.workflows.finetune import flow

RAW = "1 raw photographs of a camera: {}class 0/DSC_1.NEF; convert them to JPEG or PNG"
NOTE = "1 files that are no images: {}class 1/notes.txt"


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flow.save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write six classes of four images, the last without an ending, a raw photograph and a text."""
    monkeypatch.chdir(tmp_path)
    for class_id in range(6):
        folder = tmp_path / "photos" / f"class {class_id}"
        folder.mkdir(parents=True)
        for number in range(4):
            draw(class_id, number).save(folder / f"{number}{'.png' if number else ''}", "PNG")
    stream = io.BytesIO()
    Image.new("RGB", (40, 40)).save(stream, "TIFF")
    (tmp_path / "photos" / "class 0" / "DSC_1.NEF").write_bytes(stream.getvalue())
    (tmp_path / "photos" / "class 1" / "notes.txt").write_text("not an image")
    return tmp_path / "photos"


def files_of(written: object) -> list[tuple[bool, int]]:
    assert isinstance(written, list)
    return [(one["is_image"], one["count"]) for one in written]


@pytest.mark.parametrize(("is_raw", "status"), [(True, 1), (False, 0)])
def test_prepare(photos: Path, capsys: pytest.CaptureFixture[str], is_raw: bool, status: int) -> None:
    if not is_raw:
        (photos / "class 0" / "DSC_1.NEF").unlink()
    assert main(["prepare", "photos", "--output_dir", "out", "--short_side", "16"]) == status
    out = capsys.readouterr().out
    assert (f"Not used     {RAW.format('photos/')}\n" in out) == is_raw
    assert f"Not used     {NOTE.format('photos/')}\n" in out
    manifest = read_manifest("out")
    assert files_of(manifest["left_out_files"]) == [(True, 1)] * is_raw + [(False, 1)]
    assert sum(split["num_images"] for split in manifest["splits"].values()) == 24
    assert main(["prepare", "photos", "--output_dir", "out", "--short_side", "16", "--json"]) == status
    assert json.loads(capsys.readouterr().out)["left_out_files"] == manifest["left_out_files"]


@pytest.mark.parametrize(("is_raw", "status"), [(True, 1), (False, 0)])
def test_embed(photos: Path, backbone: Path, capsys: pytest.CaptureFixture[str], is_raw: bool, status: int) -> None:
    if not is_raw:
        (photos / "class 0" / "DSC_1.NEF").unlink()
    line = ["embed", "photos", "--model", str(backbone), "--image_size", "16", "--output_dir", "out"]
    assert main(line) == status
    out = capsys.readouterr().out
    assert out.startswith("Embedded     24 images")
    assert (f"Not used     {RAW.format('')}\n" in out) == is_raw
    assert f"Not used     {NOTE.format('')}\n" in out
    written = json.loads(Path("out/left_out.json").read_text())
    assert files_of(written) == [(True, 1)] * is_raw + [(False, 1)]
    assert main([*line, "--json"]) == status
    assert json.loads(capsys.readouterr().out)["left_out_files"] == written


@pytest.mark.parametrize(("is_raw", "status"), [(True, 1), (False, 0)])
def test_evaluate(photos: Path, backbone: Path, capsys: pytest.CaptureFixture[str], is_raw: bool, status: int) -> None:
    if not is_raw:
        (photos / "class 0" / "DSC_1.NEF").unlink()
    line = ["evaluate", "photos", "--model", str(backbone), "--image_size", "16", "--num_resamples", "10"]
    assert main([*line, "--output_dir", "out"]) == status
    out = capsys.readouterr().out
    assert (f"Not used     {RAW.format('photos/')}\n" in out) == is_raw
    assert f"Not used     {NOTE.format('photos/')}\n" in out
    protocol = json.loads(Path("out/evaluation.json").read_text())["protocol"]
    assert files_of(protocol["left_out_files"]) == [(True, 1)] * is_raw + [(False, 1)]


@pytest.mark.parametrize(("is_raw", "status"), [(True, 1), (False, 0)])
def test_train(photos: Path, backbone: Path, capsys: pytest.CaptureFixture[str], is_raw: bool, status: int) -> None:
    if not is_raw:
        (photos / "class 0" / "DSC_1.NEF").unlink()
    line = ["train", "photos", "--model", str(backbone), "--output_dir", "out", "--image_size", "16", "--use_cpu"]
    line += ["--max_steps", "1", "--per_device_train_batch_size", "4", "--report_to", "none"]
    assert (
        main([*line, "--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "false"]) == status
    )
    out = capsys.readouterr().out
    first, second = RAW.format("photos/"), NOTE.format("photos/")
    assert (f"Not used     {first}\n             {second}\n" if is_raw else f"Not used     {second}\n") in out
    data = flow.results_of(Path("out/final"))["data"]
    assert files_of(data["left_out_files"]) == [(True, 1)] * is_raw + [(False, 1)]
    assert sum(split["num_images"] for split in data["splits"].values()) == 24
