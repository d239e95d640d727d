"""`hf-vitret ingest` from a folder of embeddings to an engine, and its exit status."""

import json
import sys

import lancedb
import pytest

from hf_vitret.cli.commands import ingest
from hf_vitret.cli.main import main
from hf_vitret.embedding.model_identity import ModelIdentity
from tests.indexing.engines.catalogue import IDS, QUERIES, ROWS, write_catalogue
from tests.indexing.vectors import brute_force


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_catalogue(tmp_path / "E")


def test_images_are_loaded(capsys):
    assert main(["ingest", "E", "--to", "lancedb", "--at", "made", "--collection", "shoes"]) == 0
    assert capsys.readouterr().out == (
        f"Loaded       120 images into shoes of LanceDB at made, which holds 120\nModel        user/model, {'a' * 40}\n"
    )
    table = lancedb.connect("made").open_table("shoes")
    found = table.search(QUERIES[0]).metric("dot").limit(3).to_arrow()["image_id"].to_pylist()
    assert found == IDS[brute_force(QUERIES[:1], ROWS, 3)[1][0]].tolist()
    assert main(["ingest", "E", "--to", "lancedb", "--at", "made", "--collection", "shoes", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["engine"], content["location"], content["collection"]) == ("LanceDB", "made", "shoes")
    assert content["num_in_collection"] == table.count_rows() == 120
    assert [load["is_finished"] for load in content["facts"]["loads"]] == [True]


@pytest.mark.parametrize("engine", ingest.ENGINES)
def test_each_engine_has_its_function(engine):
    from importlib import import_module

    module, function = ingest.ENGINES[engine]
    assert function == f"to_{engine}"
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--to", "lancedb", "--at", "made"], "nowhere is not a folder of embeddings"),
        (["F", "--to", "lancedb", "--at", "made"], "other weights"),
        (["E", "--to", "lancedb", "--at", "hf://datasets/user/name"], "upload that as one commit"),
        (["E", "--to", "qdrant", "--at", "http://user:very-secret@localhost:6333"], "set QDRANT_API_KEY"),
    ],
)
def test_bad_input_is_a_message(tmp_path, capsys, arguments, message):
    write_catalogue(tmp_path / "F", model=ModelIdentity("other", None, "0", "0", "0"))
    assert main(["ingest", "E", "--to", "lancedb", "--at", "made"]) == 0
    capsys.readouterr()
    assert main(["ingest", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "very-secret" not in err


@pytest.mark.parametrize(
    ("engine", "package", "extra"),
    [("qdrant", "qdrant_client", "qdrant"), ("lancedb", "lancedb", "lancedb"), ("milvus", "pymilvus", "milvus")],
)
def test_an_extra_that_is_missing_is_named_with_its_pip_command(monkeypatch, capsys, engine, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert main(["ingest", "E", "--to", engine, "--at", "made.db"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert f'pip install "hf_vitret[{extra}]"' in err


def test_an_interrupted_load_goes_on(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.indexing.engines.lance.to_lancedb", interrupted)
        assert main(["ingest", "E", "--to", "lancedb", "--at", "made"]) == 130
    assert capsys.readouterr().err == (
        "\ninterrupted: the images loaded so far are in images of made; the same command goes on\n"
    )
    assert main(["ingest", "E", "--to", "lancedb", "--at", "made"]) == 0
