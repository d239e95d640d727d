"""Exports are recorded in results.json and on the card, and so are 8-bit scores if measured on the run's images."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hf_vitret import RetrievalEvaluator, ViTRetModel
from hf_vitret.hub.export.onnx_encoder import OnnxEncoder, score_change
from hf_vitret.hub.export.onnx_graph import export_onnx
from hf_vitret.hub.export.recorded import record_format, record_int8
from hf_vitret.hub.export.sentence_transformers_files import write_sentence_transformers
from tests.training.runs import shapes_dataset
from tests.workflows.finetune import flow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one training run of a tiny backbone."""
    root = tmp_path_factory.mktemp("recorded")
    return flow.run(root / "run", flow.save_backbone(root / "tiny-backbone"))


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "final"))


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_each_export_is_recorded_and_other_results_are_kept(folder: Path) -> None:
    before, card = flow.results_of(folder), card_of(folder)
    assert before["formats"] == []
    write_sentence_transformers(folder)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").touch()
    record_format(folder, "onnx", input_dtype="float32")
    after = flow.results_of(folder)
    assert after.pop("formats") == ["sentence-transformers", "onnx"]
    assert after.pop("exports") == {"sentence-transformers": {"needs_code": False}, "onnx": {"input_dtype": "float32"}}
    assert after == {name: value for name, value in before.items() if name != "formats"}
    written = card_of(folder)
    assert "With sentence-transformers" in written
    assert "With onnxruntime" in written
    assert [line for line in written.splitlines() if line.startswith("![")] == [
        line for line in card.splitlines() if line.startswith("![")
    ]
    # Formats whose files were deleted are removed from the record.
    (folder / "onnx" / "model.onnx").unlink()
    write_sentence_transformers(folder, copy_weights=False)
    assert flow.results_of(folder)["exports"] == {"sentence-transformers": {"needs_code": True}}
    assert "onnxruntime" not in card_of(folder)


def test_the_score_in_8_bits_is_that_of_the_graph_until_another_is_written(folder: Path) -> None:
    model = ViTRetModel.from_pretrained(folder)
    export_onnx(model, folder / "onnx", quantize_int8=True)
    assert flow.results_of(folder)["exports"]["onnx"] == {"input_dtype": "uint8", "dynamic_size": False}
    encoder = OnnxEncoder(folder / "onnx" / "model_int8.onnx")
    evaluator = RetrievalEvaluator(shapes_dataset()["test"])
    change = score_change(evaluator, model, encoder)
    record_int8(folder, change)
    results = flow.results_of(folder)
    assert results["int8"] == json.loads(json.dumps({name: asdict(found) for name, found in change.items()}))
    assert results["int8"]["recall_at_1"]["mean_a"] == pytest.approx(evaluator(encoder)["recall_at_1"])
    row: Any = next(line for line in card_of(folder).splitlines() if line.startswith("| int8 (ONNX) |"))
    assert row.split("|")[2].strip() == f"{100 * results['int8']['recall_at_1']['mean_a']:.1f}"
    # Scores on other images are refused.
    other = score_change(RetrievalEvaluator(shapes_dataset(num_test=9)["test"]), model, encoder)
    with pytest.raises(ValueError, match=r"expected the images of drawn shapes, on which the model of .* has a"):
        record_int8(folder, other)
    assert flow.results_of(folder) == results
    # The scores are removed when the graph is replaced.
    record_format(folder, "onnx", input_dtype="uint8")
    assert "int8" not in flow.results_of(folder)
    assert "int8 (ONNX)" not in card_of(folder)


def test_a_model_without_a_run_gets_no_card(tmp_path: Path) -> None:
    record_format(tmp_path, "onnx", input_dtype="uint8")
    with pytest.raises(FileNotFoundError, match=r"expected results\.json of a training run in .*; there is none"):
        record_int8(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
