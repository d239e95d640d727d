"""`hf-vitret evaluate`: what it prints and writes, and how its match rates reach a search. More: tests/recipes."""

import json
import shlex

import pytest
import torch

from hf_vitret import RetrievalEvaluator, embed_images, load_retrieval_dataset, match_rates
from hf_vitret.cli import evaluate
from hf_vitret.cli.main import main
from hf_vitret.evaluation.metrics import metric_choice
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS
from hf_vitret.evaluation.reporting.report import EvaluationResult
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.indexing.match_threshold import load_match_rates
from hf_vitret.models import configuration_vitret
from hf_vitret.workflows.evaluate import evaluation_choices
from tests.training.runs import draw


@pytest.fixture
def photos(tmp_path, monkeypatch, tiny_model):
    """Six classes of four images, and a checkpoint in `model`."""
    monkeypatch.chdir(tmp_path)
    for class_id in range(6):
        folder = tmp_path / "photos" / f"class {class_id}"
        folder.mkdir(parents=True)
        for image in range(4):
            draw(class_id, image).save(folder / f"{image}.png")
    tiny_model.save_pretrained(tmp_path / "model")
    return tmp_path / "photos"


def expected_rates(model, rates):
    evaluator = RetrievalEvaluator(load_retrieval_dataset("catalogue", data_dir="photos"))
    embeddings = evaluator.embed(model, evaluator.query, progress=False)
    return match_rates(embeddings, evaluator.query_labels, false_match_rates=rates)


LINE = ["evaluate", "--model", "model", "--data_dir", "photos", "--ks", "1", "--num_resamples", "50"]


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

    assert main(["embed", "model", "photos", "--output_dir", "E", "--dtype", "float32"]) == 0
    assert main(["index", "E", "--output_dir", "plain"]) == 0
    assert main(["index", "E", "--output_dir", "index", "--calibration", found]) == 0
    assert ImageIndex.load("index").manifest.match_rates == rates
    query = "photos/class 2/1.png"
    embeddings = embed_images(tiny_model, [draw(c, i) for c in range(6) for i in range(4)], progress=False)
    wanted = int((embeddings[9] @ embeddings.T >= rates.rates[0].threshold).sum())
    assert 1 <= wanted < 24
    line = [query, "--model", "model", "--json", "--k", "24", "--false_match_rate", "0.02"]
    for index, options in (("index", []), ("plain", ["--calibration", found])):
        capsys.readouterr()
        assert main(["search", index, *line, *options]) == 0
        assert len(json.loads(capsys.readouterr().out)["answers"][0]["hits"]) == wanted
    assert main(["search", "plain", *line]) == 2
    assert "the index has no match rates" in capsys.readouterr().err


def test_match_rates_of_another_model_are_refused(photos, tiny_model, capsys):
    assert main([*LINE, "--false_match_rates", "0.02", "--image_size", "16"]) == 0
    assert main(["embed", "model", "photos", "--output_dir", "E", "--dtype", "float32"]) == 0
    capsys.readouterr()
    found = "outputs/evaluation/match_rates.json"
    assert main(["index", "E", "--output_dir", "index", "--calibration", found]) == 2
    assert "expected match rates of the index's model; " in capsys.readouterr().err
    assert main(["index", "E", "--output_dir", "index"]) == 0
    line = ["photos/class 2/1.png", "--model", "model", "--false_match_rate", "0.02", "--calibration", found]
    assert main(["search", "index", *line]) == 2
    assert "those of another one: " in capsys.readouterr().err


def test_json_is_all_that_is_printed(photos, tiny_model, capsys):
    tiny_model.config.image_size = 24
    tiny_model.save_pretrained("other")
    assert main([*LINE, "--compare", "other", "--false_match_rates", "0.1", "--json", "--output_dir", "here"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["evaluation"] == json.loads((photos.parent / "here/evaluation.json").read_text())
    assert content["comparison"] == json.loads((photos.parent / "here/comparison.json").read_text())
    assert content["files"] == ["here/evaluation.json", "here/match_rates.json", "here/comparison.json"]
    assert "Evaluating " in err
    (photos.parent / "printed.json").write_text(out)  # calibrates too
    assert load_match_rates("printed.json") == load_match_rates("here/match_rates.json")


def test_a_memory_budget_changes_no_score(photos):
    for options in ([], ["--memory_budget", "0.001"]):
        assert main([*LINE, *options, "--output_dir", f"of {len(options)}"]) == 0
    assert EvaluationResult.load("of 0/evaluation.json") == EvaluationResult.load("of 2/evaluation.json")


def test_match_rates_of_queries_and_a_gallery(photos, tiny_model):
    for split, images in (("train", (6, 7)), ("query", (0, 1)), ("gallery", (1, 2, 3))):
        for class_id in range(3):
            folder = photos.parent / "sets" / split / f"class {class_id}"
            folder.mkdir(parents=True)
            for image in images:
                draw(class_id, image).save(folder / f"{image}.png")
    line = ["--data_dir", "sets", "--false_match_rates", "0.1", "--ks", "1", "--num_resamples", "50"]
    assert main(["evaluate", "--model", "model", *line]) == 0
    rates = load_match_rates("outputs/evaluation/match_rates.json")
    query = embed_images(tiny_model, [draw(c, i) for c in range(3) for i in range(2)], progress=False)
    gallery = embed_images(tiny_model, [draw(c, i) for c in range(3) for i in range(1, 4)], progress=False)
    is_same = torch.arange(6)[:, None] // 2 == torch.arange(9)[None] // 3
    assert (rates.num_true_pairs, rates.num_false_pairs) == (18, 36)
    false = (query @ gallery.T)[~is_same].sort(descending=True).values
    assert rates.rates[0].num_false_matches == 3
    assert rates.rates[0].threshold == pytest.approx(float((false[2] + false[3]) / 2), abs=float(false[2] - false[3]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--false_match_rates", "2"], "expected false-match rates from 0 to 1; got 2.0"),
        (["--false_match_rates", "0.1", "--rerank", "diffusion"], "match rates are those of a search without --rerank"),
        (["--memory_budget", "0"], "memory_budget must be 512 bytes or more"),
        (["--data_dir", "nowhere"], "nowhere"),
        (["--model", "nothing/here"], "expected a model in nothing/here"),
        (["--on_bad_image", "skip", "--dataset_name", "a/b"], "one of them"),
    ],
)
def test_bad_input_is_status_2_before_the_work(photos, capsys, monkeypatch, options, message):
    monkeypatch.setattr(RetrievalEvaluator, "embed", lambda *_, **__: pytest.fail("embedding has started"))
    assert main([*LINE, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (photos.parent / "outputs").exists()


def test_the_next_command_is_one_that_runs(photos, capsys):
    assert main([*LINE, "--trusted_images"]) == 0
    first = EvaluationResult.load("outputs/evaluation/evaluation.json")
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("Next"))
    assert command[:2] == ["hf-vitret", "evaluate"]
    place = command.index("--compare")
    assert command[place + 1] == evaluate.BASELINES[0]
    line = [*command[1:place], *command[place + 2 :]]  # there is no network here
    assert main(line) == 0
    assert EvaluationResult.load("outputs/evaluation/evaluation.json") == first


def test_choices_are_those_of_the_functions():
    choices = evaluation_choices
    assert (choices.KS, choices.METRICS, choices.DEFAULT_METRICS, choices.TIES) == (
        metric_choice.DEFAULT_KS,
        metric_choice.METRICS,
        metric_choice.DEFAULT_METRICS,
        metric_choice.TIES,
    )
    assert tuple(POST_PROCESSINGS) == choices.RERANKINGS
    assert (choices.POOLINGS, choices.RESIZE_MODES) == (
        configuration_vitret.POOLINGS,
        configuration_vitret.RESIZE_MODES,
    )
    assert all(isinstance(getattr(torch, name), torch.dtype) for name in choices.DTYPES)
