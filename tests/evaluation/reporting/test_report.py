"""Evaluation results and comparisons as text tables and as JSON files."""

import doctest
import json
import math

import pytest

from hf_vitret.evaluation.reporting import report, report_text
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare
from hf_vitret.evaluation.reporting.report import ComparisonResult, EvaluationResult

VALUES_A = {"recall_at_1": [1.0, 1.0, 0.0, 1.0, math.nan], "map_at_r": [0.5, 1.0, 0.25, 1.0, math.nan]}
VALUES_B = {"recall_at_1": [0.0, 1.0, 0.0, 1.0, math.nan], "map_at_r": [0.5, 0.5, 0.25, 0.5, math.nan]}
PROTOCOL = {"search": "leave-one-out", "image_size": 224, "ks": [1, 10], "dtype": "float32", "pooling": "cls"}


def _result(model="a/model", values=VALUES_A, **changes):
    return EvaluationResult.of_queries(model, values, PROTOCOL | changes, num_resamples=500, seed=3)


def _comparison():
    result_a, result_b = _result(), _result("b/model", VALUES_B, image_size=384)
    return ComparisonResult.of_queries(result_a, result_b, VALUES_A, VALUES_B, num_resamples=500, seed=3)


def test_means_intervals_and_counts_are_those_of_the_queries():
    result = _result()
    assert result.metrics == {
        "recall_at_1": 0.75,
        "map_at_r": 2.75 / 4,
        "num_queries": 5,
        "num_queries_without_positive": 1,
    }
    assert result.intervals["map_at_r"] == bootstrap_interval(VALUES_A["map_at_r"], num_resamples=500, seed=3)
    with pytest.raises(ValueError, match="at least one metric"):
        EvaluationResult.of_queries("a", {}, {})


def test_the_table_has_metrics_intervals_and_protocol():
    result = _result()
    interval = result.intervals["recall_at_1"]
    lines = result.table().splitlines()
    assert lines[0] == "a/model"
    assert lines[1].split() == ["R@1", "75.00", f"[{100 * interval.low:.2f},", f"{100 * interval.high:.2f}]"]
    assert lines[2].split()[:2] == ["MAP@R", "68.75"]
    assert lines[3].split() == ["num_queries", "5"]
    assert lines[4].split() == ["num_queries_without_positive", "1"]
    assert lines[5] == "In percent; in brackets the 95% interval: bootstrap over 4 queries, 500 resamples, seed 3"
    assert " ".join(lines[6:]) == (
        "Protocol: search leave-one-out; image_size 224; ks 1, 10; dtype float32; pooling cls"
    )
    assert len({len(line) for line in lines[1:3]}) == 1


def test_a_comparison_shows_what_the_protocols_do_not_share():
    lines = _comparison().table().splitlines()
    expected = compare(VALUES_A["map_at_r"], VALUES_B["map_at_r"], num_resamples=500, seed=3)
    assert lines[:2] == ["a: a/model", "b: b/model"]
    assert lines[4].split()[:4] == ["MAP@R", "68.75", "43.75", "+25.00"]
    assert lines[4].split()[-1] == f"{expected.p_value:.4f}"
    assert lines[-1] == "Not the same: image_size, 224 for a and 384 for b"


@pytest.mark.parametrize("make", [_result, _comparison])
def test_what_is_saved_is_loaded(make, tmp_path):
    result, path = make(), tmp_path / "new folder" / "evaluation.json"
    assert result.save(path) == path
    assert type(result).load(path) == result
    assert [child.name for child in path.parent.iterdir()] == ["evaluation.json"]
    other = make()
    other.save(path)  # replaces the file


def test_nan_is_null_in_json(tmp_path):
    path = tmp_path / "evaluation.json"
    EvaluationResult.of_queries("a", {"mrr": [math.nan]}, {}, num_resamples=5).save(path)
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["metrics"]["mrr"] is None
    loaded = EvaluationResult.load(path)
    assert math.isnan(loaded.metrics["mrr"])
    assert math.isnan(loaded.intervals["mrr"].low)
    assert "nan" in loaded.table()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "evaluation.json"
    _result().save(path)
    with pytest.raises(TypeError, match="not JSON serializable"):
        _result(image_size=object()).save(path)
    assert EvaluationResult.load(path) == _result()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON in"),
        ("[]", "expected the fields model, metrics, protocol, intervals in .*; got list"),
        ('{"title": 1}', "got title: another kind of file"),
    ],
)
def test_another_file_is_refused(content, message, tmp_path):
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        EvaluationResult.load(tmp_path / "file.json")


def test_a_comparison_is_not_a_result(tmp_path):
    _comparison().save(tmp_path / "file.json")
    with pytest.raises(ValueError, match="got result_a, result_b, differences"):
        EvaluationResult.load(tmp_path / "file.json")


def test_models_with_other_metrics_are_not_compared():
    with pytest.raises(ValueError, match="same metrics, got recall_at_1, map_at_r and mrr"):
        ComparisonResult.of_queries(_result(), _result(), VALUES_A, {"mrr": [1.0]})


@pytest.mark.parametrize("module", [report, report_text])
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
