"""The numbers of a model card are those of results.json, its metadata parse, and its code runs."""

import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from PIL import Image

from hf_vitret import ViTRetModel, compare, embed_images, short_vectors
from hf_vitret.hub.card.eval_results import write_eval_results
from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from hf_vitret.hub.export.onnx_graph import export_onnx
from hf_vitret.hub.export.sentence_transformers_files import write_sentence_transformers
from hf_vitret.hub.model_card import write_model_card
from hf_vitret.hub.pinned_snippets import pin_snippets
from tests import ROOT
from tests.training.runs import draw
from tests.warm_process import run_warm
from tests.workflows.finetune import flow

NAMES = ["recall_at_1", "recall_at_10", "recall_at_100", "recall_at_1000", "map_at_r", "r_precision"]
SHOWN = ROOT / "model_cards"
COLUMNS = ["R@1", "R@10", "R@100", "R@1000", "MAP@R", "R-precision"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one training run of a tiny backbone."""
    root = tmp_path_factory.mktemp("card")
    return flow.run(root / "run", flow.save_backbone(root / "tiny-backbone"))


@pytest.fixture
def results(folder: Path) -> dict[str, Any]:
    return flow.results_of(folder)


def card_of(results: dict[str, Any], folder: Path, picture: str | None = None) -> str:
    return write_model_card(folder, results, picture).read_text(encoding="utf-8")


def test_metadata_equal_the_results_exactly(folder: Path, results: dict[str, Any]) -> None:
    data = ModelCard.load(folder / "README.md").data
    after = results["scores"]["after training"]
    assert {entry.metric_type: entry.metric_value for entry in data.eval_results} == {
        name: after[name] for name in NAMES
    }
    assert {entry.metric_name for entry in data.eval_results} == {*COLUMNS}
    assert {entry.dataset_name for entry in data.eval_results} == {"drawn shapes"}
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "image-feature-extraction"
    assert data.metrics == NAMES
    assert data.model_name == "tiny-backbone for drawn shapes"


def test_a_backbone_in_a_folder_is_no_base_model_and_its_path_is_not_in_the_card(folder: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model is None
    assert card.data.license is None
    assert "# tiny-backbone, fine-tuned for retrieval on drawn shapes\n" in card.content
    assert str(folder.parent) not in card.content


def test_a_backbone_of_the_hub_is_the_base_model(results: dict[str, Any], tmp_path: Path) -> None:
    results |= {"base_model": "facebook/dinov2-small", "model_license": "apache-2.0"}
    card_of(results, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.base_model, card.data.license) == ("facebook/dinov2-small", "apache-2.0")
    assert "# facebook/dinov2-small, fine-tuned for" in card.content


def scrambled(value: Any, rng: Random, known: dict[Any, float] | None = None) -> Any:
    """Replace each number of a JSON tree by a random one, and shares by shares, to expose hard-coded numbers.

    Equal numbers are replaced by equal ones, so that the dimensions of a table still match its rows.
    """
    known = {} if known is None else known
    if isinstance(value, dict):
        return {name: scrambled(part, rng, known) for name, part in value.items()}
    if isinstance(value, list):
        return [scrambled(part, rng, known) for part in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    other = rng.randrange(10_000, 999_999) if isinstance(value, int) else rng.random() * (1 if abs(value) <= 1 else 1e3)
    return known.setdefault((type(value), value), other)


def leaves(value: Any) -> list[Any]:
    """Collect the values and the names of a JSON tree."""
    if isinstance(value, dict):
        return [*value, *(leaf for part in value.values() for leaf in leaves(part))]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]


def numbers(value: Any) -> list[float]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]


def shown_numbers(card: str, results: dict[str, Any]) -> list[str]:
    """Read the numbers in a card's text, except those in code, in links and in texts of the results."""
    text = card.split("\n---\n", 1)[1]
    text = re.sub(r"```.*?```|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    words = {leaf for leaf in leaves(results) if isinstance(leaf, str) and re.search(r"[A-Za-z]|\..*\.", leaf)}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, " ")
    return [found.rstrip(",") for found in re.findall(r"(?<![\w@.])[+-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.fixture
def full(results: dict[str, Any]) -> dict[str, Any]:
    """Make results with every entry that a card can show."""
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    table = short_vectors(features, features, [row // 3 for row in range(30)], dims=[8, 4], progress=False)
    results["short_vectors"] = json.loads(json.dumps(asdict(table)))
    results["paper"] = PAPER_FIGURES["sop"]
    results["data"] |= {"name": "sop", "dataset_id": "user/shapes", "left_out": {"train": ["1", "2"]}}
    changes = {name: compare([0.2, 0.3, 0.6], [0.4, 0.1, 0.9], num_resamples=50) for name in NAMES}
    results["int8"] = {name: asdict(change) for name, change in changes.items()}
    results["picture"] = {"num_neighbors": 5, "num_random": 5, "num_failures": 3, "num_wrong": 9, "num_drawn": 20}
    return results | {
        "base_model": "facebook/deit-small-distilled-patch16-224",
        "formats": ["sentence-transformers", "onnx"],
        "model_license": "other",
        "model_license_name": "a-license",
        "model_license_link": "https://example.org/license",
    }


@pytest.mark.parametrize("seed", range(2))
def test_every_number_in_the_card_is_one_of_the_results(full: dict[str, Any], tmp_path: Path, seed: int) -> None:
    full["data"]["num_shared_classes"] = 3
    for scores in full["scores"].values():
        scores["num_queries_without_positive"] = 4
    results = scrambled(full, Random(seed))
    shares = [
        number
        for name in ("scores", "intervals", "differences", "short_vectors", "int8")
        for number in numbers(results[name])
    ]
    percent = {f"{sign}{round(100 * share, 1):.1f}" for share in shares for sign in ("", "+")}
    percent |= {f"{100 * share:g}" for share in shares}  # the confidence level
    known = {shape.format(number) for number in numbers(results) for shape in ("{}", "{:,}", "{:g}", "{:,g}")}
    hours = f"{results['training']['seconds'] / 3600:.2f}"
    seen = shown_numbers(card_of(results, tmp_path, "retrieval.png"), results)
    assert [number for number in seen if number not in {*percent, *known, hours}] == [
        "2"
    ]  # the number of images left out
    assert len(seen) > 150
    # Every measurement and every setting is in the card.
    for cell in results["short_vectors"]["scores"]:
        assert f"{100 * cell['recall_at_1']:.1f}" in seen
    for name in ("training", "data", "picture"):
        printed = {each: part for each, part in results[name].items() if each != "splits"}
        for number in numbers(printed):
            assert {str(number), f"{number:,}"} & {*seen}, (name, number)


def score_table(folder: Path) -> list[list[str]]:
    """Read the cells of the table of scores, without the line under its header."""
    lines = ModelCard.load(folder / "README.md").text.splitlines()
    head = next(number for number, line in enumerate(lines) if "R@1 |" in line)
    stop = next(number for number in range(head, len(lines)) if not lines[number])
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[head:stop]]
    assert len(cells[1]) == len(cells[0])
    return [cells[0], *cells[2:]]


def test_each_score_stands_in_its_row_and_column_beside_its_interval(folder: Path, results: dict[str, Any]) -> None:
    head, *rows = score_table(folder)
    assert head == ["", *COLUMNS]
    assert [row[0] for row in rows] == [*results["scores"], "difference"]
    for row, (title, scores) in zip(rows, results["scores"].items()):
        for cell, name in zip(row[1:], NAMES):
            interval = results["intervals"][title][name]
            low, high = 100 * interval["low"], 100 * interval["high"]
            assert cell == f"{100 * scores[name]:.1f} ({low:.1f} to {high:.1f})"
    for cell, name in zip(rows[-1][1:], NAMES):
        change = [100 * results["differences"][name][part] for part in ("difference", "low", "high")]
        numbers = [float(number) for number in re.findall(r"[+-]\d+\.\d", cell)]
        assert numbers == pytest.approx(change, abs=0.05 + 1e-9)


def test_what_the_brackets_are_and_the_whole_protocol(folder: Path, results: dict[str, Any]) -> None:
    text = " ".join(ModelCard.load(folder / "README.md").text.split())
    assert "in brackets the 95% interval: bootstrap over 20 queries, 10,000 resamples, seed 0" in text
    (line,) = re.findall(r"All settings of the evaluation: (.*?)\. ##", text)
    shown = dict(part.split(" ", 1) for part in line.split("; "))
    assert shown.keys() == results["protocol"].keys()
    assert (shown["search"], shown["ks"], shown["dtype"]) == ("leave-one-out", "1, 10, 100, 1000", "float32")


def test_results_of_a_run_without_intervals(folder: Path, results: dict[str, Any], tmp_path: Path) -> None:
    """Runs on several processes have empty intervals; older runs have neither intervals nor a protocol."""
    for left_out in ({"intervals": {}, "differences": {}}, None):
        if left_out is None:
            for name in ("intervals", "differences", "protocol"):
                del results[name]
        card = card_of(results | (left_out or {}), tmp_path)
        head, *rows = score_table(tmp_path)
        assert head == ["", *COLUMNS]
        assert rows == [
            [title, *(f"{100 * scores[name]:.1f}" for name in NAMES)] for title, scores in results["scores"].items()
        ]
        assert "in brackets the 95% interval" not in card
        assert "difference" not in card
        assert "\nIn percent, on images of" in card
        assert ("All settings of the evaluation" in card) == (left_out is not None)


def test_the_cards_that_are_shown_come_from_their_results(tmp_path: Path) -> None:
    shown = sorted(SHOWN.glob("*/results.json"))
    assert shown
    for source in shown:
        pictures = [name if (source.parent / name).exists() else None for name in ("retrieval.png", "curves.png")]
        card = write_model_card(tmp_path, json.loads(source.read_text(encoding="utf-8")), *pictures)
        assert card.read_text(encoding="utf-8") == (source.parent / "README.md").read_text(encoding="utf-8"), source


def test_each_table_is_one_block_that_markdown_reads_as_such(full: dict[str, Any], tmp_path: Path) -> None:
    card_of(full, tmp_path)
    lines = ["", *ModelCard.load(tmp_path / "README.md").text.splitlines(), ""]
    widths = [line.count("|") for line in lines]
    heads = [at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]
    assert len(heads) == 7  # scores, the paper's, three reductions, data, settings
    for head in heads:
        assert lines[head - 1] == ""
        assert set(lines[head + 1]) == {"|", "-"}
        end = next(number for number in range(head, len(lines)) if not widths[number])
        assert len(set(widths[head:end])) == 1
        assert lines[end] == ""


def test_what_8_bits_cost_has_rows_of_its_own(full: dict[str, Any], tmp_path: Path) -> None:
    assert "The int8 rows are scores of `onnx/model_int8.onnx`, the same model" in card_of(full, tmp_path)
    head, *_, coarse, change = score_table(tmp_path)
    assert head == ["", *COLUMNS]
    assert coarse == ["int8 (ONNX)", *["36.7"] * 6]  # the mean of 20, 30 and 60
    assert change[0] == "int8 minus float32"
    assert all(cell.startswith("-10.0 (") for cell in change[1:])  # the mean of -20, +20 and -30


def test_particular_objects_have_a_table(full: dict[str, Any], tmp_path: Path) -> None:
    scores = {"easy_map": 0.5, "medium_map": 0.4, "hard_map": 0.125}
    card = card_of(full | {"revisited": {"roxford5k": {"after training": scores}}}, tmp_path)
    section = card.split("### Particular objects\n")[1].split("\n###")[0]
    assert "| after training | 50.0 | 40.0 | 12.5 |" in section
    assert "### Particular objects" not in card_of(full, tmp_path)


def test_protocol_of_leave_one_out(results: dict[str, Any], tmp_path: Path) -> None:
    text = " ".join(card_of(results, tmp_path).split())
    assert (
        "on images of classes that training never saw. Protocol: 20 queries, each searched exactly by inner product "
        "among all other test images;" in text
    )
    assert "resized to 32 (shortest_edge), centre crop 32; cls pooling; 16 dimensions" in text


def test_protocol_of_query_and_gallery(results: dict[str, Any], tmp_path: Path) -> None:
    splits = results["data"]["splits"]
    splits["query"], splits["gallery"] = splits.pop("test"), splits["train"]
    for scores in results["scores"].values():
        scores |= {"num_queries": 20, "num_queries_without_positive": 3}
    text = " ".join(card_of(results, tmp_path).split())
    assert (
        "20 queries, of which 3 have no positive and are not counted, each searched exactly by inner product among the "
        "gallery;" in text
    )
    assert "all other test images" not in text


def test_picture_is_there_and_shown_only_then(folder: Path, results: dict[str, Any], tmp_path: Path) -> None:
    link = re.findall(r"!\[.*\]\((.*)\)", (folder / "README.md").read_text())[0]
    with Image.open(folder / link) as picture:
        assert picture.format == "PNG"
    without = card_of(results, tmp_path)
    assert "![" not in without
    assert "drawn at random" not in without


def test_names_in_any_script_survive(results: dict[str, Any], tmp_path: Path) -> None:
    results |= {"title": "Стулья: «дом» #1", "model_license": None}
    card_of(results, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert {entry.dataset_name for entry in card.data.eval_results} == {"Стулья: «дом» #1"}


def code_of(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_the_code_in_the_card_runs_as_it_is_printed(folder: Path, tmp_path: Path) -> None:
    """Each export adds its code to the card, and the code of all four ways gives the same embeddings."""
    first, second = (Path(shutil.copytree(folder, tmp_path / name)) for name in ("first", "second"))
    model = ViTRetModel.from_pretrained(folder)
    export_onnx(model, first / "onnx")
    assert not write_sentence_transformers(first)
    assert write_sentence_transformers(second, copy_weights=False)
    images = []
    for checkpoint in (first, second):
        for name, class_id in (("a.jpg", 1), ("b.jpg", 2)):
            draw(class_id, 0).resize((70, 40)).save(checkpoint / name)
    for name in ("a.jpg", "b.jpg"):
        with Image.open(first / name) as image:
            images.append(image.convert("RGB"))
    blocks = [code_of((checkpoint / "README.md").read_text(encoding="utf-8")) for checkpoint in (first, second)]
    (_, _, sentences, _), (*_, by_own_code) = blocks
    assert 'SentenceTransformer(".")' in sentences
    assert by_own_code == sentences.replace('(".")', '(".", trust_remote_code=True)')
    show = "\nimport json\nprint(json.dumps(similarity.tolist()))\n"
    code = "".join(each + show for each in blocks[0]) + "import os\nos.chdir('../second')\n" + by_own_code + show
    result = run_warm(code, folder=first, environment={**os.environ, "PYTHONPATH": str(SHOWN.parent)})
    assert result.returncode == 0, result.stderr
    embeddings = embed_images(model, images, progress=False)
    expected = embeddings @ embeddings.T
    assert expected[0, 1] < 0.999  # the two images have different embeddings
    shown = [torch.tensor(json.loads(line)) for line in result.stdout.splitlines() if line.startswith("[[")]
    assert len(shown) == 5
    for similarity in shown:
        torch.testing.assert_close(similarity, expected, atol=1e-5, rtol=0)


def test_a_graph_that_takes_floats_gets_them(full: dict[str, Any], tmp_path: Path) -> None:
    for dtype, option in (("uint8", "do_rescale=False, do_normalize=False, "), ("float32", "")):
        full["exports"] = {"onnx": {"input_dtype": dtype}}
        graph = code_of(card_of(full, tmp_path))[-1]
        assert f'processor(images, {option}return_tensors="np")["pixel_values"]' in graph


def test_code_for_a_checkpoint_on_the_hub_names_it_and_its_revision(full: dict[str, Any], tmp_path: Path) -> None:
    written = write_model_card(tmp_path, full).read_text()
    pinned = pin_snippets(written, "user/shapes", "v1.0")
    for card, source, num_loads, pin in (
        (pinned, '"user/shapes"', 6, ', revision="v1.0"'),
        (written, '"."', 5, ""),  # the graph is in the folder of the card and is not downloaded
    ):
        loads = re.findall(
            r"(?:from_pretrained|SentenceTransformer|hf_hub_download)\((.*?)\)", "\n".join(code_of(card))
        )
        assert len(loads) == num_loads
        for arguments in loads:
            assert arguments.startswith(source)
            assert ("revision" in arguments) == bool(pin)
            assert pin in arguments
        for code in code_of(card):
            compile(code, "card", "exec")


def test_ways_to_load_that_are_not_there_are_not_shown(results: dict[str, Any], tmp_path: Path) -> None:
    for formats, mentions in (([], []), (["onnx"], ["onnx"]), (["sentence-transformers"], ["sentence_transformers"])):
        code = "".join(code_of(card_of(results | {"formats": formats}, tmp_path)))
        assert [name for name in ("sentence_transformers", "onnx") if name in code] == mentions


def test_the_header_has_what_the_hub_searches_by(full: dict[str, Any], tmp_path: Path) -> None:
    card_of(full, tmp_path)
    data = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert data["base_model_relation"] == "finetune"
    assert data["datasets"] == ["user/shapes"]
    assert (data["license"], data["license_name"], data["license_link"]) == (
        "other",
        "a-license",
        "https://example.org/license",
    )
    validate_repo_id(data["base_model"])
    (entry,) = data["model-index"]
    for result in entry["results"]:
        assert result["task"]["type"] == "image-retrieval"
        assert result["dataset"] == {"name": "drawn shapes", "type": "user/shapes", "split": "test"}
    del full["base_model"], full["data"]["dataset_id"]
    card_of(full | {"base_model": None}, tmp_path)
    data = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert not {"base_model", "base_model_relation", "datasets"} & data.keys()


def test_caption_says_how_queries_were_chosen(full: dict[str, Any], tmp_path: Path) -> None:
    text = " ".join(card_of(full, tmp_path, "retrieval.png").split())
    assert "The first 5 queries are drawn at random from all test images." in text
    assert (
        "The last 3 are failures, drawn at random from the 9 of 20 queries whose nearest image after training" in text
    )
    full["picture"]["num_failures"] = 0
    assert "failures" not in card_of(full, tmp_path, "retrieval.png")


def test_a_run_that_is_still_to_be_made(full: dict[str, Any], tmp_path: Path) -> None:
    for name in ("intervals", "differences", "environment", "short_vectors", "protocol", "int8"):
        del full[name]
    for name in ("seconds", "best_step", "images_per_second"):
        del full["training"][name]
    card = card_of(full | {"scores": {}}, tmp_path)
    assert "**Not trained yet.**" in card
    assert "| this model | not yet measured | not yet measured | not yet measured | not yet measured |" in card
    assert "## Results\n\nNot yet measured.\n" in card
    assert "## Cost\n\nNot yet measured.\n" in card
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.eval_results is None
    assert data.metrics is None


def test_a_run_that_trained_on_all_classes(full: dict[str, Any], tmp_path: Path) -> None:
    for name in ("intervals", "differences", "short_vectors", "protocol", "int8", "paper", "picture"):
        del full[name]
    del full["data"]["splits"]["test"]
    write_model_card(tmp_path, full | {"scores": {}}, curves="curves.png")
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Not trained yet" not in card
    assert "once the repository holds weights" not in card
    assert "## Results\n\nNot measured: the model is trained on all classes of the data, so that no images" in card
    assert "yet" not in card.split("## Results\n")[1].split("\n## ")[0]
    assert "![Curves over the steps: the loss and its terms](curves.png)" in card
    assert "R@1" not in card
    assert f"({full['training']['seconds']} seconds)" in card
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.eval_results, data.metrics) == (None, None)
    assert write_eval_results(tmp_path, full | {"scores": {}}) is None
