"""The formats of a checkpoint are those whose files are in its folder."""

from pathlib import Path

from hf_vitret.hub.card.formats import formats_in


def test_formats(tmp_path: Path) -> None:
    assert formats_in(tmp_path) == []
    (tmp_path / "onnx").mkdir()
    assert formats_in(tmp_path) == []
    (tmp_path / "onnx" / "model.onnx").touch()
    assert formats_in(tmp_path) == ["onnx"]
    (tmp_path / "modules.json").touch()
    assert formats_in(tmp_path) == ["sentence-transformers", "onnx"]
