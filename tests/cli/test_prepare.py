"""`hf-vitret prepare` as a command: each kind of source, what it prints, and which options do not go together."""

import re
import shlex
from pathlib import Path

import pytest
from datasets import load_dataset

from hf_vitret.cli import prepare as command
from hf_vitret.cli.main import main
from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.preparation.prepared_folder import read_manifest
from tests.hub_stand_in.stand_in import HubStandIn
from tests.hub_stand_in.stand_in import hub as hub
from tests.training.runs import draw

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
    line = ["catalogue", "--data_dir", str(photos), "--output_dir", str(output), "--short_side", "20", "--seed", "3"]
    assert main(["prepare", *line, "--title", "My things", "--license", "mit"]) == 0
    said = capsys.readouterr().out
    assert f"Prepared   {output}\nCard       {output / 'README.md'}\n" in said
    assert shlex.split(said.splitlines()[-1])[-2:] == ["--data_dir", str(output)]
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


def test_images_left_out_are_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "class 0" / "0.png").write_bytes(b"gone")
    line = ["prepare", "catalogue", "--data_dir", str(photos), "--output_dir", str(tmp_path / "out")]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert re.search(r"error: 1 images cannot be read: row \d, class 0/0.png: .*--on_bad_image skip", error)
    assert not (tmp_path / "out").exists()
    assert main([*line[:-1], str(tmp_path / "other"), "--on_bad_image", "skip"]) == 0
    assert re.search(r"(train|test): left out 1 unreadable images: class 0/0.png", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected the name of a data set and its --data_dir, or --dataset_name; got neither"),
        ("sop --dataset_name user/x", "in place of a name and --data_dir; got 'user/x' with sop"),
        ("--data_dir x --dataset_name user/x", "in place of a name and --data_dir; got 'user/x' with --data_dir"),
        ("catalogue --data_dir x --streaming", "--streaming is for a data set of the Hub: give its --dataset_name"),
        ("sop --data_dir x --label_column y", "sop takes no --label_column; leave it out"),
        ("--dataset_name user/x --streaming --seed 1", "--seed halves the classes, which a stream does not know"),
        ("birds --data_dir x", "unknown data set 'birds': the known ones are"),
        ("catalogue --data_dir nowhere", "'nowhere' is no folder or table on this machine"),
        ("catalogue --data_dir x --push_to_hub user/x", "pushing to the Hub needs a token that may write"),
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
    source = ["catalogue", "--data_dir", photos, "--push_to_hub", "ada/photos", "--output_dir", tmp_path / "first"]
    said = hub.run(RUN, *source, "--no-private", token=hub.token).stdout
    commit = hub.store.repositories["dataset", "ada/photos"].resolve("main").oid
    assert f"Pushed     ada/photos, commit {commit}\n" in said
    copies = []
    for way in (["--streaming"], []):
        copies.append(tmp_path / ("whole", "streamed")[len(way)])
        hub.run(RUN, "--dataset_name", "ada/photos", "--output_dir", copies[-1], "--short_side", "16", *way)
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
    assert "ada/photos is there and is public; private was asked for" in private.stderr


def test_the_help_shows_commands_that_parse() -> None:
    from argparse import ArgumentParser

    lines = [line for line in command.__doc__.splitlines() if line.startswith("  hf-vitret prepare")]
    assert len(lines) == 4
    for line in lines:
        parser = ArgumentParser()
        command.add_arguments(parser)
        options = parser.parse_args(shlex.split(line)[2:])
        assert options.private
        assert options.output_dir.endswith("-256")
