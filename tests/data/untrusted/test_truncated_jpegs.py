"""JPEG files that are cut off: the same pixels as Pillow gives with its global setting, without that setting."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from hf_vitret.data.untrusted.truncated_jpegs import completed, stored_image


def jpeg(*, progressive: bool = False) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, progressive=progressive)
    return stream.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_as_pillow_reads_truncated_ones(monkeypatch: pytest.MonkeyPatch, progressive: bool, share: float) -> None:
    whole = jpeg(progressive=progressive)
    cut = whole[: int(len(whole) * share)]
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(cut)).load()
    ours = np.asarray(Image.open(io.BytesIO(completed(cut))))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(ours, np.asarray(Image.open(io.BytesIO(cut))))


def test_only_what_is_cut_is_read(tmp_path: Path) -> None:
    whole = jpeg()
    for name, content in {
        "whole.jpg": whole,
        "cut.jpg": whole[:-300],
        "empty.jpg": b"",
        "other.png": b"\x89PNG",
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("whole.jpg", "empty.jpg", "other.png"):
        assert stored_image(tmp_path / name) == {"bytes": None, "path": str(tmp_path / name)}
    assert stored_image(tmp_path / "cut.jpg") == {"bytes": whole[:-300] + b"\xff\xd9", "path": None}
    assert (completed(whole), completed(b""), completed(b"\x89PNG")) == (whole, b"", b"\x89PNG")
