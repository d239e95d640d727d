"""`hf-vitret evaluate --false_match_rates`: how the rates that it measures reach an index and a search."""

import json

import pytest
import torch

from hf_vitret import RetrievalEvaluator, embed_images, load_retrieval_dataset, match_rates
from hf_vitret.cli.main import main
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.indexing.match_threshold import load_match_rates
from tests.training.runs import draw


@pytest.fixture
def model(photos, tiny_model):
    """Put a checkpoint beside the images, in `model`."""
    tiny_model.save_pretrained("model")


def expected_rates(model, rates):
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir="photos"))
    embeddings = evaluator.embed(model, evaluator.query, progress=False)
    return match_rates(embeddings, evaluator.query_labels, false_match_rates=rates)


LINE = ["evaluate", "photos", "--model", "model", "--ks", "1", "--num_resamples", "50"]


@pytest.mark.usefixtures("model")
def test_match_rates_reach_an_index_and_a_search(photos, tiny_model, capsys):
    """From the command that measures them to "no match", through the files alone."""
    assert main([*LINE, "--false_match_rates", "0.02", "1"]) == 0
    rates = expected_rates(tiny_model, [0.02, 1])
    out = capsys.readouterr().out
    assert rates.table() in out
    assert "Wrote        outputs/evaluation/evaluation.json and outputs/evaluation/match_rates.json\n" in out
    found = "outputs/evaluation/match_rates.json"
    assert load_match_rates(found) == rates
    assert json.loads((photos.parent / found).read_text())["data_set"] == "photos"

    assert main(["embed", "photos", "--model", "model", "--output_dir", "E", "--dtype", "float32"]) == 0
    assert main(["index", "E", "--output_dir", "plain"]) == 0
    assert main(["index", "E", "--output_dir", "index", "--calibration", found]) == 0
    assert ImageIndex.load("index").manifest.match_rates == rates
    query = "photos/class 2/1.png"
    embeddings = embed_images(tiny_model, [draw(c, i) for c in range(6) for i in range(4)], progress=False)
    wanted = int((embeddings[9] @ embeddings.T >= rates.rates[0].threshold).sum())
    assert 1 <= wanted < 24
    line = [query, "--model", "model", "--json", "-k", "24", "--false_match_rate", "0.02"]
    for index, options in (("index", []), ("plain", ["--calibration", found])):
        capsys.readouterr()
        assert main(["search", index, *line, *options]) == 0
        assert len(json.loads(capsys.readouterr().out)["answers"][0]["hits"]) == wanted
    assert main(["search", "plain", *line]) == 2
    assert "expected an index with match rates" in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_match_rates_of_another_model_are_refused(photos, tiny_model, capsys):
    assert main([*LINE, "--false_match_rates", "0.02", "--image_size", "16"]) == 0
    assert main(["embed", "photos", "--model", "model", "--output_dir", "E", "--dtype", "float32"]) == 0
    capsys.readouterr()
    found = "outputs/evaluation/match_rates.json"
    assert main(["index", "E", "--output_dir", "index", "--calibration", found]) == 2
    assert "expected match rates of the index's model; " in capsys.readouterr().err
    assert main(["index", "E", "--output_dir", "index"]) == 0
    line = ["photos/class 2/1.png", "--model", "model", "--false_match_rate", "0.02", "--calibration", found]
    assert main(["search", "index", *line]) == 2
    assert "those of another one: " in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_match_rates_of_queries_and_a_gallery(photos, tiny_model):
    for split, images in (("train", (6, 7)), ("query", (0, 1)), ("gallery", (1, 2, 3))):
        for class_id in range(3):
            folder = photos.parent / "sets" / split / f"class {class_id}"
            folder.mkdir(parents=True)
            for image in images:
                draw(class_id, image).save(folder / f"{image}.png")
    line = ["--false_match_rates", "0.1", "--ks", "1", "--num_resamples", "50"]
    assert main(["evaluate", "sets", "--model", "model", *line]) == 0
    rates = load_match_rates("outputs/evaluation/match_rates.json")
    query = embed_images(tiny_model, [draw(c, i) for c in range(3) for i in range(2)], progress=False)
    gallery = embed_images(tiny_model, [draw(c, i) for c in range(3) for i in range(1, 4)], progress=False)
    is_same = torch.arange(6)[:, None] // 2 == torch.arange(9)[None] // 3
    assert (rates.num_true_pairs, rates.num_false_pairs) == (18, 36)
    false = (query @ gallery.T)[~is_same].sort(descending=True).values
    assert rates.rates[0].num_false_matches == 3
    assert rates.rates[0].threshold == pytest.approx(float((false[2] + false[3]) / 2), abs=float(false[2] - false[3]))
