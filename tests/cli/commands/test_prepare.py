"""`hf-vitret prepare` as a command: each kind of source, what it prints, and which options do not go together."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from hf_vitret.cli.command_table import command_parser
from hf_vitret.cli.commands import prepare as command
from hf_vitret.cli.main import main
from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.preparation import prepare
from hf_vitret.data.preparation.prepared_folder import read_manifest
from tests.cli.commands.next_command import next_command
from tests.data.test_readable_images import cut_jpeg
from tests.hub_stand_in.stand_in import HubStandIn
from tests.hub_stand_in.stand_in import hub as hub
from tests.training.runs import draw
from tests.workflows.finetune.flow import save_backbone

RUN = "import sys; from hf_vitret.cli.main import main; sys.exit(main(['prepare', *sys.argv[1:]]))"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write a folder of four classes of five images, 48 pixels wide."""
    for class_id in range(4):
        for number in range(5):
            path = tmp_path / "photos" / f"class {class_id}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(class_id, number).resize((48, 40)).save(path)
    return tmp_path / "photos"


def test_a_catalogue_prepared_and_loaded_again(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out put"
    line = [str(photos), "--output_dir", str(output), "--short_side", "20", "--split_seed", "3"]
    assert main(["prepare", *line, "--title", "My things", "--license", "mit"]) == 0
    said = capsys.readouterr().out
    assert f"Prepared     {output}\nCard         {output / 'README.md'}\n" in said
    assert next_command(said) == ["train", str(output)]
    whole = load_retrieval_dataset("catalogue", photos, seed=3)
    small = load_retrieval_dataset("catalogue", output)
    for name, split in whole.items():
        assert small[name]["image_id"][:] == split["image_id"][:]
        assert small[name]["label"][:] == split["label"][:]
        assert small[name][0]["image"].size == (24, 20)
    card = (output / "README.md").read_text()
    assert "# My things\n" in card
    assert "license: mit\n" in card
    assert str(photos.parent) not in card + (output / "prepare.json").read_text()
    assert read_manifest(output)["settings"]["shard_size"] == 256 * 2**20


def test_everything_in_the_training_split(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    line = [str(photos), "--output_dir", str(output), "--short_side", "20", "--test_fraction", "0"]
    assert main(["prepare", *line]) == 0
    assert next_command(capsys.readouterr().out) == ["train", str(output), "--test_fraction", "0"]
    assert {name: facts["num_images"] for name, facts in read_manifest(output)["splits"].items()} == {"train": 20}


def test_images_left_out_are_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "class 0" / "0.png").write_bytes(b"gone")
    line = ["prepare", str(photos), "--output_dir", str(tmp_path / "out")]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert re.search(r"error: 1 images cannot be read: row \d, class 0/0.png: .*--on_bad_image skip", error)
    assert not (tmp_path / "out").exists()
    assert main([*line, "--on_bad_image", "skip", "--json"]) == 1  # as the error advises
    out, err = capsys.readouterr()
    printed = json.loads(out)
    assert printed["output_dir"] == str(tmp_path / "out")
    assert printed["splits"] == read_manifest(tmp_path / "out")["splits"]
    assert [one["image_id"] for split in printed["splits"].values() for one in split["skipped"]] == ["class 0/0.png"]
    assert err == f"Next         hf-vitret train {tmp_path / 'out'}\n"
    assert main([*line, "--on_bad_image", "skip"]) == 1
    assert re.search(r"(train|test): left out 1 unreadable images: class 0/0.png", capsys.readouterr().out)


def test_truncated_jpegs_are_completed(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "class 0" / "0.png").unlink()
    (photos / "class 0" / "0.jpg").write_bytes(cut_jpeg(0, 2))
    line = ["prepare", str(photos), "--output_dir", str(tmp_path / "out"), "--on_bad_image", "mend"]
    assert main(line) == 0
    assert re.search(
        r"(train|test): completed 1 truncated JPEG files: class 0/0.jpg \(OSError", capsys.readouterr().out
    )
    assert sum(facts["num_images"] for facts in read_manifest(tmp_path / "out")["splits"].values()) == 20


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sop", "expected --data_dir with sop: Stanford_Online_Products.zip, or the folder that it extracts to"),
        ("user/x --data_dir x", "expected --data_dir with the name of a data set only"),
        (". --streaming", "expected --streaming with a data set of the Hub only, user/name; leave it out"),
        ("sop --data_dir x --streaming", "expected --streaming with a data set of the Hub only"),
        ("sop --data_dir x --label_column y", "expected --label_column with images of your own only; got it with sop"),
        (". --dataset_revision v1", "expected --dataset_revision with a data set of the Hub only; got it with .:"),
        ("user/x --streaming --split_seed 1", "expected no --split_seed with --streaming"),
        ("user/x --streaming --test_fraction 0.2", "expected no --test_fraction with --streaming"),
        (". --quality 90 --image_format png", "expected no --quality with --image_format png"),
        (
            ". --allow_outside --push_to_hub user/x",
            "expected no --allow_outside with --push_to_hub, which would publish",
        ),
        (". --no-private", "expected --push_to_hub with --no-private"),
        ("birds", "expected images in 'birds', and found none"),
        (". --push_to_hub user/x", "pushing to the Hub needs a token that may write"),
    ],
)
def test_options_that_do_not_go_together(
    line: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert main(["prepare", *shlex.split(line), "--output_dir", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_from_the_hub_and_back_to_it(hub: HubStandIn, photos: Path, tmp_path: Path) -> None:
    source = [photos, "--push_to_hub", "ada/photos", "--output_dir", tmp_path / "first"]
    said = hub.run(RUN, *source, "--no-private", token=hub.token).stdout
    commit = hub.store.repositories["dataset", "ada/photos"].resolve("main").oid
    assert f"Published    ada/photos, commit {commit}\n" in said
    copies = []
    for way in (["--streaming"], []):
        copies.append(tmp_path / ("whole", "streamed")[len(way)])
        hub.run(RUN, "ada/photos", "--output_dir", copies[-1], "--short_side", "16", *way)
        assert read_manifest(copies[-1])["settings"]["source"] == f"ada/photos@{commit}"
    streamed, whole = (load_dataset(str(folder)) for folder in copies)
    first = load_dataset(str(tmp_path / "first"))
    for name, split in first.items():
        assert streamed[name]["image_id"][:] == whole[name]["image_id"][:] == split["image_id"][:]
        names = [
            [data[name].features["label"].names[label] for label in data[name]["label"]]
            for data in (first, streamed, whole)
        ]
        assert names[0] == names[1] == names[2]
        assert streamed[name][0]["image"].tobytes() == whole[name][0]["image"].tobytes()
    private = hub.run(RUN, *source[:-3], "ada/photos", "--output_dir", tmp_path / "first", token=hub.token, check=False)
    assert private.returncode == 2
    assert "expected the repository ada/photos to be private; it exists and is public" in private.stderr


def test_a_size_takes_its_unit(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(photos), "-o", str(tmp_path / "out"), "--shard_size", "3kB"]) == 0
    assert read_manifest(tmp_path / "out")["settings"]["shard_size"] == 3000
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(photos), "-o", str(tmp_path / "other"), "--shard_size", "256"])
    assert ended.value.code == 2
    assert "argument --shard_size: expected a size with its unit" in capsys.readouterr().err


def test_the_next_command_trains(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    backbone = save_backbone(tmp_path / "backbone")
    assert main(["prepare", "photos", "--output_dir", "small ones", "--short_side", "32"]) == 0
    # The default backbone is on the Hub, and a run takes longer than a test may.
    short = ["--model", str(backbone), "--image_size", "32", "--resize_size", "32", "--max_steps", "1"]
    short += ["--eval_steps", "1", "--save_steps", "1", "--per_device_train_batch_size", "4", "--bf16", "false"]
    assert main([*next_command(capsys.readouterr().out), *short]) == 0
    assert (tmp_path / "outputs/small-ones/final/config.json").is_file()


def test_an_interruption_says_what_is_kept(photos: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_write_split", interrupt)
    line = ["prepare", str(photos), "--output_dir", str(tmp_path / "out")]
    assert main(line) == 130
    assert f"the finished shards of {tmp_path / 'out'} are kept; the same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(line) == 0


def test_the_help_shows_commands_that_parse() -> None:
    lines = [line for line in command.__doc__.splitlines() if line.startswith("  hf-vitret prepare")]
    assert len(lines) == 5
    for line in lines:
        options = command_parser("prepare").parse_args(shlex.split(line)[2:])
        assert options.private
        assert options.output_dir.endswith("-256")
