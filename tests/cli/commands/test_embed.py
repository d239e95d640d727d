"""`hf-vitret embed` from the images to the files, what it prints, and its exit status."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from hf_vitret.cli.command_table import command_parser
from hf_vitret.cli.commands import embed as command
from hf_vitret.cli.main import main
from hf_vitret.embedding import write_embeddings as writing
from hf_vitret.embedding.shards import EmbeddingFolder
from tests import ROOT
from tests.cli.commands.next_command import next_command
from tests.embedding.photographs import all_bytes, encoded, noise, one_by_one, read_all, write_photos
from tests.warm_process import run_warm

LINE = "embed photos --model models/tiny --output_dir"


@pytest.fixture
def folder(tiny_model, tmp_path, monkeypatch):
    """Go to a folder with a model, `models/tiny`, and seven pictures in two class folders, `photos`."""
    monkeypatch.chdir(tmp_path)
    tiny_model.save_pretrained(tmp_path / "models" / "tiny")
    write_photos(tmp_path / "photos", 7)
    return tmp_path


def embed(output_dir, *options):
    return main([*LINE.split(), output_dir, *options])


def test_a_folder_of_photos(folder, tiny_model, capsys):
    assert embed("out put", "--images_per_shard", "4", "--dtype", "float32") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Embedded     7 images in 2 shards: out put"
    assert lines[1] == "Vectors      32 x float32, unit length, by tiny"
    ids, vectors = read_all(folder / "out put")
    assert ids == [f"{number // 5}/{number:02d}.png" for number in range(7)]
    assert abs(vectors - one_by_one(tiny_model, [noise(number) for number in range(7)])).max() < 1e-5


def test_the_next_command_runs_as_it_is_printed_from_another_folder(folder, monkeypatch, capsys):
    assert embed("out put") == 0
    printed = next_command(capsys.readouterr().out)
    assert printed == ["index", f"{folder}/out put", "--output_dir", f"{folder}/out put-index"]
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert main(printed) == 0
    assert (folder / "out put-index" / "index.json").is_file()


def test_the_folder_that_holds_an_image_is_its_label(folder):
    (folder / "photos" / "top.png").write_bytes(encoded(noise(20)))
    assert embed("E") == 0
    [shard] = EmbeddingFolder("E").shards()
    assert dict(zip(shard.ids, shard.table["label"].to_pylist())) == {
        **{f"{number // 5}/{number:02d}.png": str(number // 5) for number in range(7)},
        "top.png": None,
    }
    assert main(["embed", "photos/0", "--model", "models/tiny", "--output_dir", "flat"]) == 0
    assert EmbeddingFolder("flat").manifest.columns == ()


def test_images_that_are_left_out_make_the_status_1_and_are_named(folder, capsys):
    (folder / "photos" / "0" / "02.png").write_bytes(b"gone")
    assert embed("E") == 1
    printed = capsys.readouterr().out
    named = "             0/02.png: expected an image; the file has no known format\n"
    assert f"Left out     1 images could not be read: E/bad_images.json\n{named}" in printed
    assert next_command(printed)[0] == "index"


def test_no_next_command_is_printed_where_nothing_was_embedded(folder, capsys):
    for path in (folder / "photos").rglob("*.png"):
        path.write_bytes(b"gone")
    assert embed("E") == 1
    printed = capsys.readouterr().out
    assert "7 images could not be read" in printed
    assert "Next" not in printed


def test_json_is_all_that_is_printed(folder, capsys):
    line = "embed photos/0/*.png --model models/tiny --output_dir E --stored_dtype int8 --file_format npy --json"
    assert main(line.split()) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "output_dir": "E",
        "is_complete": True,
        "num_shards": 1,
        "num_images": 5,
        "num_bad_images": 0,
        "dim": 32,
        "dtype": "int8",
        "left_out_files": [],
    }
    assert next_command(printed.err) == ["index", f"{folder}/E", "--output_dir", f"{folder}/E-index"]


def test_the_shares_of_two_machines(folder, capsys):
    (folder / "photos" / "0" / "02.png").write_bytes(b"gone")
    assert embed("whole", "--images_per_shard", "3") == 1
    capsys.readouterr()
    assert embed("E", "--images_per_shard", "3", "--rank", "1", "--world_size", "2") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Embedded     this process's share of E; 1 of 3 shards are there"
    assert second.startswith("Then         wait for the other processes")
    assert embed("E", "--images_per_shard", "3", "--rank", "0", "--world_size", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["num_bad_images"] == 1
    assert all_bytes(folder / "E") == all_bytes(folder / "whole")


def test_columns_and_settings_are_handed_on(folder):
    (folder / "products.csv").write_text("file,sku\nphotos/0/00.png,007\nphotos/1/05.png,8\n")
    line = "embed products.csv -m models/tiny --image_column file -o E --no-normalize -b 1"
    assert main([*line.split(), "--image_size", "24", "--stored_dtype", "float16"]) == 0
    embedded = EmbeddingFolder("E")
    assert (embedded.manifest.normalized, embedded.manifest.columns) == (False, ("sku",))
    [shard] = embedded.shards()
    assert shard.table["sku"].to_pylist() == ["007", "8"]
    assert json.loads((folder / "E" / "settings.json").read_text())["options"]["batch_size"] == 1
    assert embed("other") == 0
    assert embedded.manifest.model.difference(EmbeddingFolder("other").manifest.model)  # another image size


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere --model models/tiny", "'nowhere' is no folder, file or pattern on this machine"),
        ("photos --model nowhere", "nowhere"),
        ("photos --model models/tiny --rank 1", "expected rank and world_size together"),
        ("photos --model models/tiny --images_per_shard 0", "shard_size is a number of images, at least 1; got 0"),
        ("photos --model models/tiny --stored_dtype int8 --no-normalize", "int8 has one scale"),
        ("photos --model models/tiny --device tpu", "expected a device of this machine, cpu"),
        ("photos --model models/tiny --num_processes 0", "expected --num_processes of 1 or more; got 0"),
    ],
)
def test_bad_input_is_a_message(folder, capsys, line, message):
    assert main(["embed", *line.split(), "--output_dir", "E"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert not (folder / "E").exists()


def test_another_model_is_refused(folder, tiny_model, capsys):
    assert embed("E") == 0
    next(tiny_model.parameters()).data.add_(0.1)
    tiny_model.save_pretrained(folder / "models" / "tiny")
    assert embed("E") == 2
    assert "E was embedded with something else: the model: other weights" in capsys.readouterr().err


def test_an_interrupted_command_says_what_is_kept_and_goes_on(folder, monkeypatch, capsys):
    assert embed("whole", "--images_per_shard", "2") == 0
    opened = []

    def interrupted_at_the_third(*arguments):
        opened.append(arguments)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return open_shard(*arguments)

    open_shard = writing.open_shard
    monkeypatch.setattr(writing, "open_shard", interrupted_at_the_third)
    assert embed("E", "--images_per_shard", "2") == 130
    printed = capsys.readouterr().err
    assert printed.endswith("\ninterrupted: 2 finished shards are kept in E; the same command goes on\n")
    assert embed("E", "--images_per_shard", "2") == 0
    assert len(opened) == 5  # of the four shards, two before and two after; and the one that was interrupted
    assert all_bytes(folder / "E") == all_bytes(folder / "whole")


# A real Ctrl-C while the third shard is written, in a process of its own.
INTERRUPTED = """
import os, signal, sys
from hf_vitret.cli.main import main
from hf_vitret.embedding import write_embeddings as writing
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for jobs in the background
open_shard, opened = writing.open_shard, []
def interrupted(*arguments):
    opened.append(arguments)
    if len(opened) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return open_shard(*arguments)
writing.open_shard = interrupted
sys.exit(main())
"""


def test_ctrl_c_ends_the_process_without_a_traceback(folder):
    line = [*LINE.split(), "E", "--images_per_shard", "2"]
    result = run_warm(INTERRUPTED, *line, folder=folder)
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == "\ninterrupted: 2 finished shards are kept in E; the same command goes on\n"


def test_two_processes_write_what_one_writes(folder):
    """They end with 0 also where an image was left out: the launcher would end the others otherwise."""
    (folder / "photos" / "0" / "02.png").write_bytes(b"gone")
    assert embed("whole", "--images_per_shard", "2") == 1
    line = [sys.executable, "-m", "hf_vitret", *LINE.split(), "E", "--images_per_shard", "2", "--num_processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert process.returncode == 0, process.stderr
    assert "Embedded     6 images in 4 shards: E\n" in process.stdout
    assert all_bytes(folder / "E") == all_bytes(folder / "whole")


def test_the_help_shows_commands_that_parse():
    lines = [line for line in command.__doc__.splitlines() if line.startswith("  ")]
    assert len(lines) == 8
    for line in lines:
        options = command_parser("embed").parse_args(shlex.split(line.partition(" embed ")[2]))
        assert options.model in ("user/model", "outputs/photos/final")
