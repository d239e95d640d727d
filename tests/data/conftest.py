"""Fixtures that draw small images and write them to files."""

import io
import zlib
from pathlib import Path

import datasets
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def quiet_and_private_cache(tmp_path, monkeypatch):
    """Use a cache of the test's own, and show no progress bars."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def colour_of(name: str) -> tuple[int, int, int]:
    value = zlib.crc32(name.encode())
    return value & 255, value >> 8 & 255, value >> 16 & 255


def encode(name: str, file_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour_of(name)).save(stream, file_format)
    return stream.getvalue()


@pytest.fixture
def draw():
    """Return the function that makes the bytes of one plain image: `draw(name, format)`."""
    return encode


@pytest.fixture
def write_images():
    """Return the function that writes plain images: `write_images(folder, ["cup/1.png", ...])`."""

    def write(folder: Path, names: list[str]) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(name, "PNG" if path.suffix.lower() == ".png" else "JPEG"))
        return folder

    return write
