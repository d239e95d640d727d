"""The card says what results.json says, its metadata parses, and the code that it shows runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from hf_vitret import ViTRetModel, embed_images
from hf_vitret.hub.model_card import write_model_card
from tests.experiment import flow
from tests.training.runs import draw

NAMES = ["recall_at_1", "recall_at_10", "recall_at_100", "recall_at_1000", "map_at_r", "r_precision"]
SHOWN = Path(__file__).parents[2] / "model_cards"
COLUMNS = ["R@1", "R@10", "R@100", "R@1000", "MAP@R", "R-precision"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the job once on a tiny backbone."""
    root = tmp_path_factory.mktemp("card")
    return flow.run(root / "run", flow.save_backbone(root / "tiny-backbone"))


@pytest.fixture
def results(folder: Path) -> dict[str, Any]:
    return flow.results_of(folder)


def card_of(results: dict[str, Any], folder: Path, picture: str | None = None) -> str:
    return write_model_card(folder, results, picture).read_text(encoding="utf-8")


def numbers_in(value: Any) -> list[float]:
    """Collect every number of a JSON tree."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers_in(part)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


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


def test_a_backbone_in_a_folder_is_no_base_model_and_its_path_is_not_told(folder: Path) -> None:
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


def test_every_number_in_a_table_is_one_of_the_results(folder: Path, results: dict[str, Any]) -> None:
    measured = [*numbers_in(results["scores"]), *numbers_in(results["intervals"]), *numbers_in(results["differences"])]
    scores = {f"{sign}{100 * abs(number):.1f}" for number in measured for sign in ("", "-"[: number < 0])}
    counts = {f"{number:g}" for number in numbers_in(results["data"])}
    settings = {str(number) for number in numbers_in(results["training"])}
    allowed = {"Results": scores, "Data": counts, "Training": settings}
    text = ModelCard.load(folder / "README.md").text
    num_seen = 0
    for section, known in allowed.items():
        body = text.split(f"## {section}\n")[1].split("\n## ")[0]
        rows = [line for line in body.splitlines() if line.startswith("|")][2:]  # without head and rule
        for row in rows:
            for number in re.findall(r"(?<![\w@-])-?\d[\d.]*(?:e-?\d+)?", row):
                assert number in known, (section, row)
                num_seen += 1
    assert num_seen == 3 * 6 * 3 + 2 * 5 + len(numbers_in(results["training"]))


def score_table(folder: Path) -> list[list[str]]:
    """Read the cells of the table of scores, the rule under its head left out."""
    lines = ModelCard.load(folder / "README.md").text.splitlines()
    head = next(place for place, line in enumerate(lines) if "R@1 |" in line)
    stop = next(place for place in range(head, len(lines)) if not lines[place])
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
    (line,) = re.findall(r"In full, for whoever compares: (.*?)\. ##", text)
    told = dict(part.split(" ", 1) for part in line.split("; "))
    assert told.keys() == results["protocol"].keys()
    assert (told["search"], told["ks"], told["dtype"]) == ("leave-one-out", "1, 10, 100, 1000", "float32")


def test_results_of_a_run_without_intervals(folder: Path, results: dict[str, Any], tmp_path: Path) -> None:
    """Several processes leave the intervals empty; older runs have neither them nor the protocol."""
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
        assert "brackets" not in card
        assert "difference" not in card
        assert "\nIn percent, on images of" in card
        assert ("In full, for whoever compares" in card) == (left_out is not None)


def test_the_cards_that_are_shown_come_from_their_results(tmp_path: Path) -> None:
    for shown in sorted(SHOWN.glob("*/results.json")):
        written = card_of(json.loads(shown.read_text(encoding="utf-8")), tmp_path, "retrieval.png")
        assert written == (shown.parent / "README.md").read_text(encoding="utf-8"), shown


def test_each_table_is_one_block_that_markdown_reads_as_such(folder: Path) -> None:
    lines = ["", *ModelCard.load(folder / "README.md").text.splitlines(), ""]
    widths = [line.count("|") for line in lines]
    heads = [place for place, line in enumerate(lines) if line.startswith("|") and not lines[place - 1].startswith("|")]
    assert len(heads) == 3
    for head in heads:
        assert lines[head - 1] == ""
        assert set(lines[head + 1]) == {"|", "-"}
        end = next(place for place in range(head, len(lines)) if not widths[place])
        assert len(set(widths[head:end])) == 1
        assert lines[end] == ""


def test_protocol_of_leave_one_out(results: dict[str, Any], tmp_path: Path) -> None:
    text = " ".join(card_of(results, tmp_path).split())
    assert (
        "on images of classes that training never saw. Protocol: 20 queries, each image searched for among all" in text
    )
    assert "among all other test images by inner product" in text
    assert "resized to 32 (shortest_edge), centre crop 32; cls pooling; 16 dimensions" in text


def test_protocol_of_query_and_gallery(results: dict[str, Any], tmp_path: Path) -> None:
    splits = results["data"]["splits"]
    splits["query"], splits["gallery"] = splits.pop("test"), splits["train"]
    for scores in results["scores"].values():
        scores |= {"num_queries": 20, "num_queries_without_positive": 3}
    text = " ".join(card_of(results, tmp_path).split())
    assert "20 queries, of which 3 have no right image to find and do not count, each image searched for among" in text
    assert "among the gallery by inner product" in text
    assert "all other test images" not in text


def test_picture_is_there_and_shown_only_then(folder: Path, results: dict[str, Any], tmp_path: Path) -> None:
    (link,) = re.findall(r"!\[.*\]\((.*)\)", (folder / "README.md").read_text())
    with Image.open(folder / link) as picture:
        assert picture.format == "PNG"
    without = card_of(results, tmp_path)
    assert "![" not in without
    assert "Queries drawn at random" not in without


def test_names_in_any_script_survive(results: dict[str, Any], tmp_path: Path) -> None:
    results |= {"title": "Стулья: «дом» #1", "model_license": None}
    card_of(results, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert {entry.dataset_name for entry in card.data.eval_results} == {"Стулья: «дом» #1"}


def test_the_code_in_the_card_runs(folder: Path, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(folder, tmp_path / "downloaded")
    for name, class_id in (("a.jpg", 1), ("b.jpg", 2)):
        draw(class_id, 0).resize((70, 40)).save(checkpoint / name)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    code += "\nimport json\nprint(json.dumps(similarity.tolist()))\n"
    result = subprocess.run([sys.executable, "-c", code], cwd=checkpoint, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    images = []
    for name in ("a.jpg", "b.jpg"):
        with Image.open(checkpoint / name) as image:
            images.append(image.convert("RGB"))
    embeddings = embed_images(ViTRetModel.from_pretrained(folder), images, progress=False)
    similarity = torch.tensor(json.loads(result.stdout.splitlines()[-1]))
    torch.testing.assert_close(similarity, embeddings @ embeddings.T, atol=1e-5, rtol=0)
