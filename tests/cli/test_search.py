"""`hf-vitret search` from the files of images to what they find, and its exit status."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from hf_vitret import embed_images, expand_queries, nearest_neighbors
from hf_vitret.cli.main import main
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.evaluation.matching.match_rates import MatchRate, MatchRates
from hf_vitret.indexing.image_index import ImageIndex
from tests.indexing.vectors import write_folder

NAMES = [f"photo-{number}" for number in range(12)]
COLUMNS = {"color": ["red", "blue"] * 6, "price": list(range(12))}
RATES = MatchRates((MatchRate(0.01, 0.999, 0.9, 1), MatchRate(1.0, -math.inf, 1.0, 100)), 10, 100)


def photo(number):
    values = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((48, 48), Image.Resampling.NEAREST)


@pytest.fixture
def embeddings(tmp_path, monkeypatch, tiny_model):
    """Twelve photographs, the model, and an index of their embeddings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(NAMES):
        photo(number).save(tmp_path / "photos" / f"{name}.png")
    tiny_model.save_pretrained(tmp_path / "model")
    embeddings = embed_images(tiny_model, [photo(number) for number in range(12)], progress=False)
    model = ModelIdentity.of(tiny_model, name="model")
    write_folder(tmp_path / "E", embeddings.numpy(), NAMES, COLUMNS, model=model)
    ImageIndex.build_from("E", match_rates=RATES, progress=False).save("index")
    return embeddings


def search(*arguments):
    return main(["search", "index", *map(str, arguments), "--model", "model"])


def found(capsys):
    content = json.loads(capsys.readouterr().out)
    return [[hit["image_id"] for hit in answer["hits"]] for answer in content["answers"]]


def test_a_table_of_each_query(embeddings, capsys):
    assert search("photos/photo-3.png", "photos/photo-7.png", "--k", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    second = nearest_neighbors(embeddings[[3]], embeddings, 2)
    assert lines[0] == "photos/photo-3.png"
    assert lines[1].split() == ["rank", "score", "image_id", "color", "price"]
    assert lines[2].split() == ["1", "1.0000", "photo-3", "blue", "3"]
    assert lines[3].split()[1:3] == [f"{second[0][0, 1]:.4f}", NAMES[second[1][0, 1]]]
    assert lines[5] == "photos/photo-7.png"


def test_json_and_filters(embeddings, capsys):
    rows = [row for row in range(12) if COLUMNS["color"][row] == "red" and row < 8]
    assert search("photos/photo-3.png", "--json", "--where", "color=red", "--where", "price<8") == 0
    order = nearest_neighbors(embeddings[[3]], embeddings[rows], len(rows))[1][0]
    assert found(capsys) == [[NAMES[rows[place]] for place in order]]


def test_expansion_is_that_of_the_functions(embeddings, capsys):
    query = embed_images_of("photos/photo-3.png", embeddings)
    near = nearest_neighbors(query, embeddings, 3)
    order = nearest_neighbors(expand_queries(query, embeddings, *near), embeddings, 5)[1][0]
    assert search("photos/photo-3.png", "--json", "--expand", 3, "--k", 5) == 0
    assert found(capsys) == [[NAMES[row] for row in order]]
    assert search("photos/photo-3.png", "--json", "--rerank", "--k", 12) == 0
    assert sorted(found(capsys)[0]) == sorted(NAMES)


def embed_images_of(path, embeddings):
    return embeddings[[int(path[-5])]]


@pytest.mark.parametrize(
    ("options", "num_found", "status"),
    [
        (["--min_score", "0.999"], [1], 0),
        (["--min_score", "1.5"], [0], 1),
        (["--false_match_rate", "0.01"], [1], 0),
        (["--false_match_rate", "1"], [10], 0),
        (["--false_match_rate", "0.2", "--calibration", "rates.json"], [0], 1),
    ],
)
def test_what_scores_too_little_is_no_match(embeddings, tmp_path, capsys, options, num_found, status):
    rates = asdict(MatchRates((MatchRate(0.2, 2.0, 0.9, 1),), 10, 100))
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    assert search("photos/photo-3.png", "--json", *options) == status
    assert [len(ids) for ids in found(capsys)] == num_found


def test_pictures_are_written(embeddings, tmp_path, capsys):
    outputs = ["--html", "out/found.html", "--png", "out/found.png", "--image_dir", "photos"]
    assert search("photos/photo-3.png", "--k", 4, *outputs) == 0
    assert capsys.readouterr().out.endswith("Wrote out/found.html and out/found.png.\n")
    assert (tmp_path / "out/found.html").read_text().count("data:image/jpeg") == 5
    with Image.open(tmp_path / "out/found.png") as picture:
        assert picture.width == 8 + 104 + 24 + 4 * 112
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"found.html", "found.png"}


def test_another_model_is_refused(embeddings, tmp_path, tiny_model, capsys):
    parameter = next(tiny_model.parameters())
    parameter.data += 1
    tiny_model.save_pretrained(tmp_path / "other")
    assert main(["search", "index", "photos/photo-3.png", "--model", "other"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "expected embeddings of the model that made the index, model; got those of other: " in err
    assert "other weights" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "photos/none.png"], "expected the file of an image; 'photos/none.png' is none"),
        (["index", "https://example.org/a.png"], "expected the file of an image"),
        (["index", "E/manifest.json"], "it cannot be read"),
        (["E", "photos/photo-3.png"], "E is no index"),
        (["index", "photos/photo-3.png", "--where", "size=3"], "expected a column of "),
        (["index", "photos/photo-3.png", "--k", "0"], "--k must be at least 1"),
        (["index", "photos/photo-3.png", "--rerank", "--min_score", "1"], "no threshold was measured"),
        (["index", "photos/photo-3.png", "--false_match_rate", "0.5"], "expected a false-match rate that was measured"),
        (["index", "photos/photo-3.png", "--min_score", "1", "--false_match_rate", "0.5"], "got both"),
        (["index", "photos/photo-3.png", "--calibration", "rates.json"], "goes with --false_match_rate"),
        (["index", "photos/photo-3.png", "--html", "a.html", "--image_dir", "nowhere"], "nowhere is none"),
    ],
)
def test_bad_input_is_a_message(embeddings, capsys, arguments, message):
    assert main(["search", *arguments, "--model", "model"]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_nowhere_must_be_named(embeddings, capsys):
    assert main(["search", "index", "photos/photo-3.png"]) == 2
    assert "expected --model: the index does not say where its model, model is" in capsys.readouterr().err
