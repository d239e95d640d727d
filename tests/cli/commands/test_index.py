"""`hf-vitret index` from a folder of embeddings to an index, what it prints, and its exit status."""

import json
import shutil

import pytest

from hf_vitret.cli.main import main
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.image_index import ImageIndex
from tests.cli.commands.next_command import next_command
from tests.embedding.photographs import write_photos
from tests.indexing.vectors import unit_rows, write_folder
from tests.warm_process import run_warm

ROWS, IDS = unit_rows(600), [f"{row:03d}" for row in range(600)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path / "E", ROWS, IDS, {"price": list(range(600))})


def test_an_index_is_made(capsys):
    assert main(["index", "E", "--output_dir", "made/index"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "600 vectors, at most 4,295.0 MB, recall@10 of at least 0.95"
    assert "Measured     recall@10 1.0000 on 75 held-out queries" in out
    assert "Index        made/index: 600 images, Flat by faiss" in out
    assert "Model        user/model, aaaaaaaa" in out
    assert out.splitlines()[-1].startswith("Then         hf-vitret search, with this index, an image file")
    assert ImageIndex.load("made/index").search(ROWS[5:6], 1)[1].tolist() == [["005"]]


@pytest.fixture
def embedded(tmp_path, tiny_model):
    """Seven photographs in `my photos`, a model in `models/tiny`, and their embeddings in `P`."""
    write_photos(tmp_path / "my photos", 7)
    tiny_model.save_pretrained(tmp_path / "models" / "tiny")
    assert main(["embed", "my photos", "--model", "models/tiny", "--output_dir", "P"]) == 0
    return tmp_path


def test_the_next_command_searches_with_an_image_and_without_a_model_from_another_folder(embedded, monkeypatch, capsys):
    capsys.readouterr()
    assert main(["index", "P", "--output_dir", "my index"]) == 0
    printed = next_command(capsys.readouterr().out)
    assert printed == ["search", f"{embedded}/my index", str(embedded / "my photos" / "0" / "00.png")]
    (embedded / "elsewhere").mkdir()
    monkeypatch.chdir(embedded / "elsewhere")
    assert main([*printed, "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert answer["hits"][0]["image_id"] == "0/00.png"
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-2)
    assert answer["hits"][0]["metadata"] == {"label": "0"}


def test_the_next_command_names_an_image_that_a_search_still_finds(embedded, capsys):
    assert main(["index", "P", "--output_dir", "index"]) == 0
    capsys.readouterr()
    assert main(["index", "index", "--remove", "0/00.png"]) == 0
    assert next_command(capsys.readouterr().out)[-1].endswith("01.png")


@pytest.mark.parametrize("gone", ["models", "my photos"])
def test_no_next_command_is_printed_that_would_not_run(embedded, capsys, gone):
    shutil.rmtree(embedded / gone)
    assert main(["index", "P", "--output_dir", "index"]) == 0
    out = capsys.readouterr().out
    assert "Next" not in out
    assert out.splitlines()[-1].startswith("Then         hf-vitret search, with this index, an image file")


def test_settings_are_handed_on(capsys):
    options = ["--kind", "ivfpq", "--memory_budget", "20kB", "--num_queries", "60", "--seed", "3"]
    assert main(["index", "E", "--output_dir", "index", "--target_recall", "0.5", "--json", *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["factory"] == "IVF15,PQ4,Refine(SQ8)"
    assert content["quality"]["num_queries"] == 30
    assert content["files"].keys() == {"vectors.faiss", "images.parquet"}
    assert content["num_images"] == 600
    assert [plan["kind"] for plan in content["plans"]] == ["flat", "hnsw", "ivfpq", "ivfpq", "ivfpq"]
    assert main(["index", "E", "-o", "index", "--backend", "torch"]) == 0
    assert ImageIndex.load("index").manifest.backend == "torch"


@pytest.mark.parametrize(
    ("given", "printed"), [("1GiB", "1,073.7 MB"), ("1.5gb", "1,500.0 MB"), ("500MB", "500.0 MB"), ("64 KiB", "0.1 MB")]
)
def test_the_memory_budget_has_a_unit(capsys, given, printed):
    assert main(["index", "E", "--output_dir", "index", "--memory_budget", given]) == 0
    assert capsys.readouterr().out.startswith(f"600 vectors, at most {printed},")


@pytest.mark.parametrize("given", ["4", "0.5", "4XB", "0GiB", "-1GiB", "GiB"])
def test_a_size_without_a_unit_is_refused(capsys, given):
    with pytest.raises(SystemExit) as ended:
        main(["index", "E", "--output_dir", "index", f"--memory_budget={given}"])
    assert ended.value.code == 2
    assert "expected a size" in capsys.readouterr().err


def test_a_missed_target_is_a_status(capsys):
    assert main(["index", "E", "--output_dir", "index", "--memory_budget", "8.4kB"]) == 1
    out, err = capsys.readouterr()
    assert "may miss the target" in out
    assert "and should be 0.95: raise --memory_budget" in err
    assert ImageIndex.load("index").manifest.quality.recall_at_10 < 0.95
    assert main(["index", "E", "--output_dir", "index", "--memory_budget", "8.4kB", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kind"] == "ivfpq"


def test_images_are_added(tmp_path, capsys):
    write_folder(tmp_path / "F", unit_rows(4, seed=8), list("abcd"), {"price": [1] * 4})
    assert main(["index", "E", "--output_dir", "index"]) == 0
    capsys.readouterr()
    assert main(["index", "F", "--add_to", "index"]) == 0
    assert capsys.readouterr().out.startswith("Index        index: 604 images, Flat by faiss")
    assert ImageIndex.load("index").search(unit_rows(4, seed=8), 1)[1].ravel().tolist() == list("abcd")
    assert main(["index", "F", "--add_to", "index"]) == 2
    assert "already in the index: a, b, c, d" in capsys.readouterr().err


def test_images_are_removed(capsys):
    assert main(["index", "E", "--output_dir", "index"]) == 0
    capsys.readouterr()
    assert main(["index", "index", "--remove", "005", "007"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "Index        index: 598 images, Flat by faiss, 2 removed ones still kept"
    )
    found = ImageIndex.load("index").search(ROWS[[5, 6, 7]], 1)[1].ravel().tolist()
    assert found[1] == "006"
    assert not {"005", "007"} & set(found)
    assert main(["index", "index", "--remove", "005", "006"]) == 2
    assert "not in the index: 005; nothing was removed" in capsys.readouterr().err
    assert len(ImageIndex.load("index")) == 598


def test_integer_ids_are_removed(capsys):
    ImageIndex.build(ROWS[:9], range(9)).save("numbered")
    assert main(["index", "numbered", "--remove", "3", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["num_images"], content["num_removed"]) == (8, 1)
    assert main(["index", "numbered", "--remove", "three"]) == 2
    assert "expected ids that are integers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--output_dir", "index"], "nowhere is not a folder of embeddings"),
        (["E", "--output_dir", "E"], "E is there, and is no index"),
        (["E", "--output_dir", "index", "--target_recall", "2"], "above 0, up to 1"),
        (["E", "--output_dir", "index", "--memory_budget", "1kB"], "raise the memory budget"),
        (["E", "--output_dir", "index", "--calibration", "E/manifest.json"], "expected the rates of match_rates"),
        (["G", "--add_to", "made"], "other weights"),
        (["G", "--add_to", "made", "--kind", "flat"], "expected --kind with --output_dir, a new index; got it with"),
        (["made", "--remove", "000", "--seed", "0"], "expected --seed with --output_dir, a new index; got it with --r"),
        (["E", "--remove", "a"], "E is no index"),
        (["made", "--remove", "000", "--calibration", "rates.json"], "expected --calibration with --output_dir or"),
    ],
)
def test_bad_input_is_a_message(tmp_path, capsys, arguments, message):
    write_folder(tmp_path / "G", ROWS[:9], range(9), model=ModelIdentity("other", None, "0", "0", "0"))
    ImageIndex.build_from("E", progress=False).save("made")
    assert main(["index", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("line", ["E --output_dir index", "F --add_to index", "index --remove 005"])
def test_an_interrupted_command_leaves_the_index_as_it_was(tmp_path, monkeypatch, capsys, line):
    write_folder(tmp_path / "F", unit_rows(4, seed=8), list("abcd"), {"price": [1] * 4})
    assert main(["index", "E", "--output_dir", "index"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    capsys.readouterr()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageIndex, "save", interrupted)
    assert main(["index", *line.split()]) == 130
    printed = capsys.readouterr()
    source = line.split()[0]
    assert printed.err == f"\ninterrupted: index is as it was before; the same command starts again from {source}\n"
    assert {path: path.read_bytes() for path in (tmp_path / "index").iterdir()} == before


def test_as_a_program(tmp_path):
    """The table alone goes to the standard output, and a short task prints no line of progress into a log."""
    program = "import runpy; runpy.run_module('hf_vitret', run_name='__main__')"
    result = run_warm(program, "index", "E", "--output_dir", "index", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("600 vectors")
    assert result.stderr == ""
