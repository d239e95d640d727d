"""`hf-vitret embed` from the folder to the files, what it says, and its exit status."""

import json
import shlex
from argparse import ArgumentParser

import pytest

from hf_vitret.cli import embed as command
from hf_vitret.cli.main import main
from hf_vitret.embedding.shards import EmbeddingFolder
from tests.embedding.photographs import all_bytes, noise, one_by_one, read_all, write_photos
from tests.warm_process import run_warm

PROGRAM = "import runpy; runpy.run_module('hf_vitret.cli.main', run_name='__main__')"


@pytest.fixture
def places(tiny_model, tmp_path, monkeypatch):
    """Go to a folder with a model, `models/tiny`, and seven pictures, `photos`."""
    monkeypatch.chdir(tmp_path)
    tiny_model.save_pretrained(tmp_path / "models" / "tiny")
    write_photos(tmp_path / "photos", 7)
    return tmp_path


def test_a_folder_of_photos(places, tiny_model, capsys):
    arguments = ["embed", "models/tiny", "photos", "--output_dir", "out put", "--shard_size", "4", "--dtype", "float32"]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Embedded   7 images in 2 shards: out put"
    assert said[1] == "Vectors    32 x float32, unit length, by tiny"
    assert shlex.split(said[-1]) == ["Next", "hf-vitret", "index", "out put"]
    ids, vectors = read_all(places / "out put")
    assert ids == [f"{number // 5}/{number:02d}.png" for number in range(7)]
    assert abs(vectors - one_by_one(tiny_model, [noise(number) for number in range(7)])).max() < 1e-5


def test_bad_images_make_the_status_1_and_are_named(places, capsys):
    (places / "photos" / "0" / "02.png").write_bytes(b"gone")
    assert main(["embed", "models/tiny", "photos", "--output_dir", "E"]) == 1
    said = capsys.readouterr().out
    assert "Bad        1 images could not be read: E/bad_images.json\n           0/02.png: Unidentified" in said


def test_json_is_all_that_is_printed(places, capsys):
    line = "embed models/tiny photos/0/*.png --output_dir E --stored_dtype int8 --file_format npy --json"
    assert main(line.split()) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "output_dir": "E",
        "is_complete": True,
        "num_shards": 1,
        "num_images": 5,
        "num_bad_images": 0,
        "dim": 32,
        "dtype": "int8",
    }
    assert "Embedding" in said.err


def test_the_shares_of_two_machines(places, capsys):
    (places / "photos" / "0" / "02.png").write_bytes(b"gone")
    line = "embed models/tiny photos --shard_size 3 --output_dir"
    assert main([*line.split(), "whole"]) == 1
    capsys.readouterr()
    assert main([*line.split(), "E", "--rank", "1", "--world_size", "2"]) == 0
    assert "this process's share of E; 1 of 3 shards are there\nNext       wait for the others" in (
        capsys.readouterr().out.replace("other processes", "others")
    )
    assert main([*line.split(), "E", "--rank", "0", "--world_size", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_bad_images"] == 1
    assert all_bytes(places / "E") == all_bytes(places / "whole")


def test_columns_and_settings_are_handed_on(places):
    (places / "products.csv").write_text("file,sku\nphotos/0/00.png,007\nphotos/1/05.png,8\n")
    line = "embed models/tiny products.csv --image_column file --output_dir E --no-normalize --batch_size 1"
    assert main([*line.split(), "--image_size", "24", "--stored_dtype", "float16"]) == 0
    folder = EmbeddingFolder("E")
    assert (folder.manifest.normalized, folder.manifest.columns) == (False, ("sku",))
    [shard] = folder.shards()
    assert shard.table["sku"].to_pylist() == ["007", "8"]
    assert json.loads((places / "E" / "settings.json").read_text())["options"]["batch_size"] == 1
    assert main(["embed", "models/tiny", "photos", "--output_dir", "other"]) == 0
    assert folder.manifest.model.difference(EmbeddingFolder("other").manifest.model)  # another image size


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("models/tiny nowhere", "'nowhere' is no folder, file or pattern on this machine"),
        ("nowhere photos", "nowhere"),
        ("models/tiny photos --rank 1", "expected rank and world_size together"),
        ("models/tiny photos --shard_size 0", "shard_size is a number of images, at least 1; got 0"),
        ("models/tiny photos --stored_dtype int8 --no-normalize", "int8 has one scale"),
    ],
)
def test_bad_input_is_a_message(places, capsys, line, message):
    assert main(["embed", *line.split(), "--output_dir", "E"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert not (places / "E").exists()


def test_another_model_is_refused(places, tiny_model, capsys):
    assert main(["embed", "models/tiny", "photos", "--output_dir", "E"]) == 0
    next(tiny_model.parameters()).data.add_(0.1)
    tiny_model.save_pretrained(places / "models" / "tiny")
    assert main(["embed", "models/tiny", "photos", "--output_dir", "E"]) == 2
    assert "E was embedded with something else: the model: other weights" in capsys.readouterr().err


def test_two_processes_of_a_launcher(places):
    """`accelerate launch` sets these variables, and ends all processes when one ends badly."""
    (places / "photos" / "0" / "02.png").write_bytes(b"gone")
    from os import environ

    line = "embed models/tiny photos --shard_size 2 --output_dir E"
    said = []
    for rank in range(2):
        launched = {**environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        process = run_warm(PROGRAM, *line.split(), environment=launched, folder=places)
        assert process.returncode == 0, process.stderr
        said.append(process.stdout)
    assert "2 of 4 shards are there" in said[0]
    assert said[1].startswith("Embedded   6 images in 4 shards: E\n")


def test_the_help_shows_commands_that_parse():
    lines = [line for line in command.__doc__.splitlines() if line.startswith("  ")]
    assert len(lines) == 7
    for line in lines:
        parser = ArgumentParser()
        command.add_arguments(parser)
        options = parser.parse_args(shlex.split(line.partition(" embed ")[2]))
        assert options.model in ("user/model", "outputs/run/final")
