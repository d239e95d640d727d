"""`hf-vitret doctor` from the folder to the files, and its exit status."""

import json
import re
import shlex

import datasets
import pytest
from datasets import Dataset

from hf_vitret.cli.commands.doctor import LIMITS, MODEL_LIMITS
from hf_vitret.cli.main import main
from hf_vitret.workflows import doctor
from hf_vitret.workflows.doctor import Settings, examine
from tests.cli.commands.next_command import next_command
from tests.cli.loaded_modules import run_and_list
from tests.warm_process import run_warm
from tests.workflows.doctor.pictures import encode, picture
from tests.workflows.finetune.flow import save_backbone


@pytest.fixture(autouse=True)
def quiet_and_private(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def write_catalogue(folder):
    """Write `train` and `test` with two classes of two pictures each."""
    seed = 0
    for split, names in (("train", ("cup", "pot")), ("test", ("jug", "lid"))):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            for number in range(2):
                (folder / split / name / f"{number}.png").write_bytes(encode(picture(seed)))
                seed += 1
    return folder


def write_sop(folder):
    """Write two products a split in the official format."""
    (folder / "cup_final").mkdir(parents=True)
    number = 0
    for split, class_ids in (("train", (1, 2)), ("test", (3, 4))):
        lines = ["image_id class_id super_class_id path"]
        for class_id in class_ids:
            for place in range(2):
                number += 1
                name = f"cup_final/{class_id}_{place}.JPG"
                lines.append(f"{number} {class_id} 1 {name}")
                (folder / name).write_bytes(encode(picture(number), "JPEG"))
        (folder / f"Ebay_{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def findings_of(folder):
    content = json.loads((folder / "doctor.json").read_text())
    return [(one["kind"], one["scope"], [image["image_id"] for image in one["images"]]) for one in content["findings"]]


def test_a_clean_catalogue(tmp_path, capsys):
    write_catalogue(tmp_path / "photos")
    assert main(["doctor", "photos"]) == 0
    out = capsys.readouterr().out
    assert "Nothing found." in out
    wrote = "Wrote        outputs/doctor/doctor.json and outputs/doctor/doctor.html\n"
    assert out.endswith(f"{wrote}Next         hf-vitret train {tmp_path / 'photos'}\n")
    assert findings_of(tmp_path / "outputs/doctor") == []


def test_a_leak_is_found(tmp_path, capsys):
    folder = write_catalogue(tmp_path / "photos")
    (folder / "test/jug/0.png").write_bytes((folder / "train/cup/0.png").read_bytes())
    assert main(["doctor", "photos", "--output_dir", "found"]) == 1
    [(kind, scope, image_ids)] = findings_of(tmp_path / "found")
    assert (kind, scope) == ("same_file", "across_splits")
    assert [image_id[-9:] for image_id in image_ids] == ["cup/0.png", "jug/0.png"]
    out = capsys.readouterr().out
    assert "error     the same file in several splits (leakage)" in out
    again = "mend what it shows, and run this again: hf-vitret doctor photos"
    assert out.splitlines()[-1] == f"Then         open found/doctor.html, {again}"
    assert "data:image/jpeg" in (tmp_path / "found/doctor.html").read_text()


def test_json_is_all_that_is_printed(tmp_path, capsys):
    folder = write_catalogue(tmp_path / "photos")
    (folder / "test/jug/0.png").write_bytes((folder / "train/cup/0.png").read_bytes())
    assert main(["doctor", "photos", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "outputs/doctor/doctor.json").read_text())


@pytest.mark.parametrize(("severity", "status"), [("note", 1), ("warning", 1), (None, 1), ("error", 0)])
def test_what_makes_it_fail_can_be_chosen(tmp_path, severity, status):
    folder = write_catalogue(tmp_path / "photos")
    (folder / "train/cup/0.png").write_bytes(encode(picture(50, (30, 30))))  # tiny: a warning
    assert main(["doctor", "photos", *([] if severity is None else ["--fail_on", severity])]) == status


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--fail_on", "note"], 1)])
def test_harmless_notes_are_no_findings_to_stop_for(tmp_path, capsys, options, status):
    folder = write_catalogue(tmp_path / "photos")
    picture(0).convert("P").save(folder / "train/cup/0.png")
    assert main(["doctor", "photos", *options]) == status
    assert [kind for kind, _, _ in findings_of(tmp_path / "outputs/doctor")] == ["palette"]
    out = capsys.readouterr().out
    assert re.search(r"note +palette images +1 +1\n", out)
    assert (f"Next         hf-vitret train {folder}\n" in out) == (status == 0)


def test_columns_splits_and_limits_are_handed_on(tmp_path):
    for split, seeds in (("learn", (0, 1, 2, 3)), ("check", (4, 5, 6, 7))):
        Dataset.from_dict(
            {
                "photo": [str(tmp_path / f"{seed}.png") for seed in seeds],
                "sku": [f"{split}{seed // 2}" for seed in seeds],
            }
        ).to_parquet(tmp_path / f"{split}.parquet")
        for seed in seeds:
            (tmp_path / f"{seed}.png").write_bytes(encode(picture(seed)))
    folder = tmp_path / "saved"
    datasets.DatasetDict(
        {split: Dataset.from_parquet(str(tmp_path / f"{split}.parquet")) for split in ("learn", "check")}
    ).save_to_disk(folder)
    options = ["--image_column", "photo", "--label_column", "sku", "--train_split", "learn", "--test_split", "check"]
    options.append("--allow_outside")  # the pictures are beside the saved data set
    arguments = ["doctor", str(folder), *options]
    assert main(arguments) == 0
    assert main([*arguments, "--min_side", "90"]) == 1  # the pictures are 96 x 80
    assert {kind for kind, _, _ in findings_of(tmp_path / "outputs/doctor")} == {"tiny"}


def test_counts_of_sop_are_a_finding(tmp_path, capsys):
    write_sop(tmp_path / "Stanford_Online_Products")
    assert main(["doctor", "sop", "--data_dir", str(tmp_path)]) == 1
    assert findings_of(tmp_path / "outputs/doctor") == [("counts", None, []), ("counts", None, [])]
    out = capsys.readouterr().out.splitlines()
    assert out[2].split() == ["train", "4", "2", "59,551", "11,318"]
    assert out[3].split() == ["test", "4", "2", "60,502", "11,316"]


def test_a_model_is_loaded(tmp_path, tiny_model):
    """Every picture of a class is its motif with a red pixel somewhere; one cup is labelled as a pot."""
    folder = write_catalogue(tmp_path / "photos")
    for motif, label in enumerate(("train/cup", "train/pot", "test/jug", "test/lid"), start=100):
        for number in range(6):
            image = picture(motif)
            image.putpixel((number, 3), (255, 0, 0))
            (folder / label / f"{number}.png").write_bytes(encode(image))
    image = picture(100)
    image.putpixel((50, 60), (0, 0, 255))
    (folder / "train/pot/wrong.png").write_bytes(encode(image))
    tiny_model.save_pretrained(tmp_path / "model")
    assert main(["doctor", "photos", "--model", "model", "--num_neighbors", "3"]) == 1
    [image_ids] = [ids for kind, _, ids in findings_of(tmp_path / "outputs/doctor") if kind == "mislabelled"]
    assert [image_id.rpartition("/")[2] for image_id in image_ids] == ["wrong.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sop"], "expected --data_dir with sop: Stanford_Online_Products.zip, or the folder that it extracts to"),
        (["sop", "--data_dir", "nowhere"], "nowhere"),
        (
            ["sop", "--data_dir", "x", "--label_column", "sku"],
            "expected --label_column with images of your own only; got it with sop: leave it out",
        ),
        (["spo"], "expected images in 'spo', and found none: "),
        (["spo"], "Did you mean sop?"),
        (["photos", "--data_dir", "photos"], "expected --data_dir with the name of a data set only"),
        (["photos", "--min_side", "0"], "min_side must be at least 1 pixel; got 0"),
        (["photos", "--model", "nowhere"], "nowhere"),
        (["photos", "--batch_size", "8"], "expected --model with --batch_size, which is a setting of it"),
        (["photos", "--pooling", "mean"], "expected --model with --pooling, which is a setting of it"),
        (["photos", "--min_cosine", "0.9"], "expected --model with --min_cosine, which is a setting of it"),
    ],
)
def test_bad_input_is_a_message(tmp_path, capsys, arguments, message):
    write_catalogue(tmp_path / "photos")
    assert main(["doctor", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert not (tmp_path / "outputs").exists()


def test_what_is_asked_for_is_done(tmp_path, tiny_model, monkeypatch):
    write_catalogue(tmp_path / "photos")
    tiny_model.save_pretrained(tmp_path / "model")
    asked = []
    monkeypatch.setattr(doctor, "examine", lambda dataset, **options: asked.append(options) or examine(dataset))
    arguments = ["--num_threads", "2", "--max_distance", "5", "--min_correlation", "0.9"]
    assert main(["doctor", "photos", *arguments]) == 0
    expected = {
        "name": "photos",
        "official_counts": None,
        "left_out": [],
        "model": None,
        "settings": Settings(max_distance=5, min_correlation=0.9),
        "batch_size": 64,
        "num_threads": 2,
    }
    assert asked == [expected]
    arguments += ["-m", "model", "--image_size", "16", "-b", "3", "--device", "cpu"]
    assert main(["doctor", "photos", *arguments]) == 0
    model = asked[1].pop("model")
    assert model.config.image_size == 16
    assert asked[1] == {name: value for name, value in expected.items() if name != "model"} | {"batch_size": 3}


def test_every_limit_is_an_option():
    assert {*LIMITS, *MODEL_LIMITS} == set(Settings.__dataclass_fields__)


def test_as_a_program(tmp_path):
    """The table goes to standard output, no bar of a short task into a log; the status is that of the run."""
    folder = write_catalogue(tmp_path / "photos")
    (folder / "train/pot/1.png").write_bytes(b"")
    program = "import runpy; runpy.run_module('hf_vitret.cli.main', run_name='__main__')"
    result = run_warm(program, "doctor", folder, folder=tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stdout.startswith("split  images  classes")
    assert "error     images that cannot be read" in result.stdout
    assert result.stderr == ""


def test_the_next_command_trains_on_the_same_data(tmp_path, capsys):
    """From the line that is printed to a checkpoint: quoted, with the columns that were given."""
    write_catalogue(tmp_path / "my photos")
    backbone = save_backbone(tmp_path / "backbone")
    assert main(["doctor", "my photos", "--train_split", "train"]) == 0
    command = next_command(capsys.readouterr().out)
    assert command == ["train", str(tmp_path / "my photos"), "--train_split", "train"]
    # The default backbone is on the Hub, and a run takes longer than a test may.
    short = ["--model", str(backbone), "--image_size", "32", "--resize_size", "32", "--max_steps", "1"]
    short += ["--eval_steps", "1", "--save_steps", "1", "--per_device_train_batch_size", "4", "--bf16", "false"]
    assert main([*command, *short]) == 0
    assert (tmp_path / "outputs/my-photos/final/config.json").is_file()


def test_the_command_to_run_again_runs(tmp_path, capsys):
    folder = write_catalogue(tmp_path / "my photos")
    (folder / "test/jug/0.png").write_bytes((folder / "train/cup/0.png").read_bytes())
    assert main(["doctor", "my photos", "--test_split", "test"]) == 1
    program, *again = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("run this again: ")[2])
    assert program == "hf-vitret"
    (folder / "test/jug/0.png").write_bytes(encode(picture(60)))
    assert main(again) == 0


def test_without_a_model_neither_torch_nor_transformers_is_loaded(tmp_path):
    folder = write_catalogue(tmp_path / "photos")
    _, printed, loaded = run_and_list(["doctor", str(folder)], ("torch", "transformers"))
    assert "doctor.html" in printed
    assert loaded == []


def test_files_that_are_not_used_are_findings(tmp_path, capsys):
    folder = write_catalogue(tmp_path / "photos")
    (folder / "train" / "cup" / "raw.NEF").write_bytes(encode(picture(90), "TIFF"))
    (folder / "test" / "jug" / "notes.txt").write_text("not an image")
    status = main(["doctor", str(folder)])
    out = capsys.readouterr().out
    assert status == 1
    assert re.search(r"error +files that look like images and are not used +1 +1\n", out)
    content = json.loads((tmp_path / "outputs" / "doctor" / "doctor.json").read_text())
    found = {one["kind"]: one for one in content["findings"]}
    assert found["left_out_image"]["num_files"] == found["left_out_file"]["num_files"] == 1
    assert found["left_out_image"]["detail"].startswith("1 raw photographs of a camera: photos/train/cup/raw.NEF")
    assert found["left_out_file"]["severity"] == "note"
    page = (tmp_path / "outputs" / "doctor" / "doctor.html").read_text()
    assert "photos/train/cup/raw.NEF" in page
    (folder / "train" / "cup" / "raw.NEF").unlink()
    assert main(["doctor", str(folder)]) == 0  # a note alone
