"""What a run's scores say of its length."""

from typing import Any

import pytest

from hf_vitret.workflows.finetune.schedule_advice import schedule_advice


def results(*recalls: float, **training: Any) -> dict[str, Any]:
    """Give the results of a run that scored every 500 steps and kept its best weights."""
    log = [{"eval_recall_at_1": recall, "step": 500 * number} for number, recall in enumerate(recalls, start=1)]
    settings = {"koleo_weight": 0.0, "koleo_neighbors": "all", "best_step": 500, **training}
    scores = {"before": {"recall_at_1": 0.3}, "after": {"recall_at_1": max(recalls)}}
    return {"log": [*log, {"train_runtime": 1.0}, log[-1]], "scores": scores, "training": settings}


@pytest.mark.parametrize(
    "training", [{"koleo_weight": 0.0}, {"koleo_weight": 0.7, "koleo_neighbors": "negatives"}, {"koleo_weight": 0.1}]
)
def test_a_run_that_overfits_is_told_of_koleo(training: dict[str, Any]) -> None:
    advice = schedule_advice(results(0.70, 0.785, 0.77, 0.736, **training))
    assert advice is not None
    assert advice.startswith(
        "R@1 was highest at step 1,000 and 4.9 points lower at step 2,000: train for fewer steps, or"
    )
    assert "--koleo_weight 0.7 --koleo_neighbors all" in advice


def test_with_koleo_there_is_only_a_shorter_run() -> None:
    advice = schedule_advice(results(0.785, 0.736, koleo_weight=0.7))
    assert advice == "R@1 was highest at step 500 and 4.9 points lower at step 1,000: train for fewer steps"


def test_a_run_that_still_learns_is_told_to_go_on() -> None:
    advice = schedule_advice(results(0.5, 0.6, 0.62))
    assert advice == "R@1 still rose by 2.0 points after step 1,000: a longer run may give more"


@pytest.mark.parametrize("recalls", [(0.6,), (0.6, 0.61), (0.6, 0.59), (0.5, 0.62, 0.615), (0.61, 0.5, 0.6)])
def test_chance_is_no_reason(recalls: tuple[float, ...]) -> None:
    assert schedule_advice(results(*recalls)) is None
