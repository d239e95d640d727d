"""`hf-vitret search` from the files of images to what they find, and its exit status."""

import json
import math
import shutil
from dataclasses import asdict

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image

from hf_vitret import embed_images, expand_queries, nearest_neighbors, rerank_reciprocal
from hf_vitret.cli.main import main
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.evaluation.matching.match_rates import MatchRate, MatchRates
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.models.modeling_vitret import ViTRetModel
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
    assert search("photos/photo-3.png", "photos/photo-7.png", "-k", 2) == 0
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


def test_expansion_and_reranking_are_those_of_the_functions(embeddings, capsys):
    query = embeddings[[3]]
    near = nearest_neighbors(query, embeddings, 3)
    order = nearest_neighbors(expand_queries(query, embeddings, *near), embeddings, 5)[1][0]
    assert search("photos/photo-3.png", "--json", "--expand", 3, "-k", 5) == 0
    assert found(capsys) == [[NAMES[row] for row in order]]

    own = torch.arange(12)
    graph = nearest_neighbors(embeddings, embeddings, 11, query_ids=own, gallery_ids=own)
    near = nearest_neighbors(query, embeddings, 12)
    scores, order = rerank_reciprocal(query, embeddings, *near, *graph, k1=11, k2=6)
    assert search("photos/photo-3.png", "--json", "--rerank", "-k", 12) == 0
    hits = json.loads(capsys.readouterr().out)["answers"][0]["hits"]
    expected = {NAMES[row]: float(score) for row, score in zip(order[0], scores[0])}
    assert {hit["image_id"]: hit["score"] for hit in hits} == pytest.approx(expected, abs=1e-4)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


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


def test_one_query_without_a_match_makes_the_status_1(embeddings, capsys):
    photo(50).save("stranger.png")
    assert search("photos/photo-3.png", "stranger.png", "--min_score", "0.9999") == 1
    assert capsys.readouterr().out.endswith("stranger.png\n  no match\n")


def test_pictures_are_written(embeddings, tmp_path, capsys):
    outputs = ["--html", "out/found.html", "--png", "out/found.png", "--image_dir", "photos"]
    assert search("photos/photo-3.png", "-k", 4, *outputs) == 0
    assert capsys.readouterr().out.endswith("Wrote        out/found.html and out/found.png\n")
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
        (["index", "https://example.org/a.png"], "expected the file of an image; there is no file"),
        (["index", "E/manifest.json"], "it cannot be read"),
        (["nowhere", "photos/photo-3.png"], "'nowhere' is no folder, file or pattern on this machine"),
        (["index", "photos/photo-3.png", "--where", "size=3"], "expected a column of "),
        (["index", "photos/photo-3.png", "-k", "0"], "--k must be at least 1"),
        (["index", "photos/photo-3.png", "--rerank", "--min_score", "1"], "expected no threshold with --expand or --r"),
        (["index", "photos/photo-3.png", "--false_match_rate", "0.5"], "expected a false-match rate that was measured"),
        (["index", "photos/photo-3.png", "--min_score", "1", "--false_match_rate", "0.5"], "got both"),
        (["index", "photos/photo-3.png", "--calibration", "rates.json"], "expected --false_match_rate with --calib"),
        (["index", "photos/photo-3.png", "--html", "a.html", "--image_dir", "nowhere"], "nowhere is none"),
        (["index", "photos/photo-3.png", "--image_dir", "photos"], "expected --html or --png with --image_dir"),
        (["index", "photos/photo-3.png", "--map", "upgrade"], "there is no file 'upgrade'"),
        (
            ["photos", "photos/photo-3.png", "--map", "map.safetensors"],
            "expected the index of an older model with --map",
        ),
    ],
)
def test_bad_input_is_a_message(embeddings, tmp_path, capsys, arguments, message):
    assert main(["search", *arguments, "--model", "model"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not (tmp_path / "a.html").exists()


def test_a_missing_query_is_named_before_a_model_is_loaded(embeddings, monkeypatch, capsys):
    def load(*_, **__):
        raise AssertionError("the model was loaded first")

    monkeypatch.setattr("hf_vitret.inference.load_model.load_model", load)
    monkeypatch.setattr("hf_vitret.indexing.image_index.ImageIndex.load", load)
    assert search("photos/photo-3.png", "photos/none.png") == 2
    assert "expected the file of an image; there is no file 'photos/none.png'" in capsys.readouterr().err


def test_a_model_that_is_nowhere_must_be_named(embeddings, capsys):
    """The index was made of embeddings that do not note where the model lay."""
    assert main(["search", "index", "photos/photo-3.png"]) == 2
    assert (
        "expected --model: the model of the index, model, has no known folder. Give its folder or Hub"
    ) in capsys.readouterr().err


@pytest.fixture
def moved(tmp_path, monkeypatch, tiny_model):
    """A folder `work` with a model, photographs in class folders, and an index made by the commands."""
    work = tmp_path / "work"
    for number in range(6):
        path = work / "photos" / ("red", "blue")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(path)
    photo(3).save(tmp_path / "query.png")
    tiny_model.save_pretrained(work / "model")
    monkeypatch.chdir(work)
    assert main(["embed", "photos", "--model", "model", "--output_dir", "embeddings"]) == 0
    assert main(["index", "embeddings", "--output_dir", "index"]) == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_index_finds_its_model_where_it_lay(moved, capsys):
    capsys.readouterr()
    assert main(["search", "work/index", "query.png", "-k", "2", "--json"]) == 0
    assert found(capsys)[0][0] == "blue/3.png"
    (moved / "work").rename(moved / "elsewhere")
    assert main(["search", "elsewhere/index", "query.png", "-k", "2", "--json"]) == 0
    assert found(capsys)[0][0] == "blue/3.png"


def test_a_model_that_has_gone_is_asked_for_with_the_folder_where_it_lay(moved, capsys):
    (moved / "work" / "model").rename(moved / "new-name")
    capsys.readouterr()
    assert main(["search", "work/index", "query.png"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"the model of the index, model, is no longer in {moved / 'work/model'}. Give its folder or Hub id" in err
    assert main(["search", "work/index", "query.png", "--model", "new-name"]) == 0


def test_class_folders_are_a_column_to_search_in(moved, capsys):
    capsys.readouterr()
    assert main(["search", "work/index", "query.png", "--where", "label=red", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["answers"][0]["hits"]
    assert sorted(hit["image_id"] for hit in hits) == ["red/0.png", "red/2.png", "red/4.png"]
    assert {hit["metadata"]["label"] for hit in hits} == {"red"}
    assert main(["search", "work/index", "query.png", "--where", "label=green"]) == 1
    assert "no match" in capsys.readouterr().out


def test_the_pictures_of_an_index_are_found_where_they_lay(moved, capsys):
    assert main(["search", "work/index", "query.png", "--html", "found.html"]) == 0
    assert (moved / "found.html").read_text().count("data:image/jpeg") == 7
    shutil.rmtree(moved / "work" / "photos")
    capsys.readouterr()
    assert main(["search", "work/index", "query.png", "--html", "second.html"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"expected --image_dir: the images of the index are not in {moved / 'work/photos'} any more" in err
    assert not (moved / "second.html").exists()


def test_class_folders_are_a_column_without_an_index_too(moved, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(moved / "cache"))
    capsys.readouterr()
    line = ["search", "work/photos", "query.png", "-m", "work/model", "--where", "label=blue", "--json"]
    assert main(line) == 0
    assert sorted(found(capsys)[0]) == ["blue/1.png", "blue/3.png", "blue/5.png"]
    (moved / "work/photos/blue/3.png").unlink()
    assert main(line) == 0
    assert sorted(found(capsys)[0]) == ["blue/1.png", "blue/5.png"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("index", "nothing was changed"),
        ("photos", "the images of photos that are embedded already are kept; the same command goes on with the others"),
    ],
)
def test_an_interrupted_search_says_what_is_kept(embeddings, monkeypatch, capsys, place, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_vitret.inference.load_model.load_model", interrupted)
    assert main(["search", place, "photos/photo-3.png", "--model", "model"]) == 130
    assert capsys.readouterr().err == f"\ninterrupted: {said}\n"


@pytest.fixture
def forwarded(monkeypatch):
    """Give the list of the numbers of images in the batches that any model embeds."""
    sizes = []

    def forward(self, pixel_values, *arguments, **options):
        sizes.append(len(pixel_values))
        return original(self, pixel_values, *arguments, **options)

    original = ViTRetModel.forward
    monkeypatch.setattr(ViTRetModel, "forward", forward)
    return sizes


def test_a_folder_without_an_index_is_embedded_once(embeddings, tmp_path, monkeypatch, capsys, forwarded):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "cache"))
    line = ["search", "photos", "photos/photo-3.png", "--model", "model", "-k", "12", "--json"]
    assert main(line) == 0
    printed = capsys.readouterr()
    order = nearest_neighbors(embeddings[[3]], embeddings, 12)[1][0]
    hits = json.loads(printed.out)["answers"][0]["hits"]
    assert [hit["image_id"] for hit in hits][:3] == [f"{NAMES[row]}.png" for row in order[:3]]
    assert [hit["score"] for hit in hits] == pytest.approx(
        [float(embeddings[3] @ embeddings[int(hit["image_id"][6:-4])]) for hit in hits], abs=0.02
    )
    assert f"Embeddings   {tmp_path / 'cache' / 'hf_vitret' / 'collections'}" in printed.err
    assert 12 in forwarded

    forwarded.clear()
    assert main(line) == 0
    assert forwarded == [1]  # the query
    assert json.loads(capsys.readouterr().out)["answers"][0]["hits"] == hits

    assert main([*line[:-1], "--where", "label=red"]) == 2  # no image lies in a folder of its own
    assert "expected a column of image_id, path in 'label=red'" in capsys.readouterr().err
    assert main(["search", "photos", "photos/photo-3.png"]) == 2
    assert "expected an index in 'photos', or images and --model" in capsys.readouterr().err
