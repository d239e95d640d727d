"""Cards of runs that have not been made yet have the recipes' settings and the paper's figures, and no other number."""

import json

import pytest

from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from tests.hub.planned_runs import PLAN_NAME, PLANNED, ROOT, write
from tests.hub.test_model_card import shown_numbers

SHOWN = ROOT / "model_cards"


def test_every_plan_is_shown() -> None:
    assert {path.parent.name for path in SHOWN.glob(f"*/{PLAN_NAME}")} == {*PLANNED}


@pytest.mark.parametrize("name", PLANNED)
def test_a_ready_card_is_what_its_recipe_would_do(name: str, tmp_path) -> None:
    write(tmp_path, PLANNED[name])
    for file in (PLAN_NAME, "README.md"):
        there = (SHOWN / name / file).read_text(encoding="utf-8")
        assert (tmp_path / file).read_text(encoding="utf-8") == there, "python -m tests.hub.planned_runs"


@pytest.mark.parametrize("name", PLANNED)
def test_no_number_is_made_up(name: str) -> None:
    found = json.loads((SHOWN / name / PLAN_NAME).read_text(encoding="utf-8"))
    card = (SHOWN / name / "README.md").read_text(encoding="utf-8")
    assert found["scores"] == {}
    figures = PAPER_FIGURES[PLANNED[name].name]["rows"]
    assert found["paper"]["rows"] == figures
    results = card.split("## Results\n")[1].split("\n## ")[0]
    (own,) = [line for line in results.splitlines() if line.startswith("| this model")]
    assert {cell.strip() for cell in own.split("|")[2:-1]} == {"not yet measured"}
    known = {str(value) for row in figures.values() for value in row.values()}
    shown = shown_numbers("\n---\n" + results, found)
    assert {*shown} <= known
    assert len(shown) == sum(map(len, figures.values()))


def test_settings_are_the_papers() -> None:
    def settings(name: str) -> dict[str, object]:
        return json.loads((SHOWN / name / PLAN_NAME).read_text(encoding="utf-8"))["training"]

    sop, inshop, cub, sfm = (settings(f"deit-small-{name}") for name in ("sop", "inshop", "cub", "sfm120k"))
    assert (sop["max_steps"], sop["memory_size"], sop["koleo_weight"]) == (35_000, 59_551, 0.7)
    assert (inshop["memory_size"], inshop["memory_momentum"]) == (5_176, 0.999)
    assert (cub["max_steps"], cub["memory_size"]) == (2_000, 5_864)
    assert (sfm["learning_rate"], sfm["num_train_epochs"], sfm["num_negatives"]) == (5e-7, 100, 5)
