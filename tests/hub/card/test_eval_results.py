"""The file of scores for a leaderboard, as the Hub's own client reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from hf_vitret.hub.card.eval_results import write_eval_results


@pytest.fixture
def results() -> dict[str, Any]:
    scores = {"recall_at_1": 0.7, "map_at_r": 0.4, "num_queries": 9}
    return {
        "scores": {"before": {"recall_at_1": 0.1, "map_at_r": 0.0}, "after": scores},
        "intervals": {"after": {"recall_at_1": {"low": 0.65, "high": 0.75}}},
        "model": {"image_size": 224, "embedding_dim": 384},
        "protocol": {"search": "leave-one-out", "dtype": "float32"},
        "data": {"benchmark": {"id": "user/shapes", "tasks": {"first": "recall_at_1", "all": "map_at_r"}}},
    }


def test_the_client_reads_what_was_measured_last(results: dict[str, Any], tmp_path: Path) -> None:
    results["data"]["benchmark"]["revision"] = "a" * 40
    results["date"] = "2026-01-31"
    path = write_eval_results(tmp_path, results, "user/model")
    assert path == tmp_path / ".eval_results" / "shapes.yaml"
    first, whole = parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert (first.dataset_id, first.task_id, first.value) == ("user/shapes", "first", 0.7)
    assert (whole.dataset_id, whole.task_id, whole.value) == ("user/shapes", "all", 0.4)
    assert (first.dataset_revision, first.date) == ("a" * 40, "2026-01-31")
    assert first.source_url == "https://huggingface.co/user/model"
    assert first.notes == "R@1 70.0 (65.0 to 75.0) percent, leave-one-out, 224 pixels, 384 dimensions, float32"
    assert whole.notes == "MAP@R 40.0 percent, leave-one-out, 224 pixels, 384 dimensions, float32"


def test_what_is_not_known_is_left_out(results: dict[str, Any], tmp_path: Path) -> None:
    for name in ("protocol", "intervals"):
        del results[name]
    entry = yaml.safe_load(write_eval_results(tmp_path, results).read_text())[0]
    assert entry == {
        "dataset": {"id": "user/shapes", "task_id": "first"},
        "value": 0.7,
        "notes": "R@1 70.0 percent, 224 pixels, 384 dimensions",
    }


def test_data_that_are_no_benchmark_of_the_hub_have_no_file(results: dict[str, Any], tmp_path: Path) -> None:
    assert write_eval_results(tmp_path, results | {"data": {}}) is None
    assert write_eval_results(tmp_path, results | {"scores": {}}) is None
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_was_not_measured_is_refused(results: dict[str, Any], tmp_path: Path) -> None:
    results["data"]["benchmark"]["tasks"] = {"first": "recall_at_7"}
    with pytest.raises(KeyError, match="recall_at_7"):
        write_eval_results(tmp_path, results)
