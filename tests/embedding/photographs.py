"""Small pictures as files, and what embedding them one by one gives."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hf_vitret.data.images import to_rgb
from hf_vitret.embedding.locations import LOCATIONS_NAME
from hf_vitret.embedding.shards import EmbeddingFolder


def noise(seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """Draw a picture that no other seed gives, of the size and mode that the seed says."""
    width, height = size[0] + seed % 5, size[1] + seed % 3
    values = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)


def encoded(image: Image.Image, file_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format)
    return stream.getvalue()


def write_photos(folder: Path, count: int) -> Path:
    """Write `count` pictures, in folders of five."""
    for number in range(count):
        path = folder / f"{number // 5}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise(number)))
    return folder


@torch.no_grad()
def one_by_one(model: torch.nn.Module, images: Sequence[Image.Image]) -> np.ndarray:
    """Embed image by image in float32, through the image processor's own rescaling and normalisation."""
    rows = []
    for image in images:
        pixels = model.image_processor(to_rgb(image), return_tensors="pt")["pixel_values"]
        rows.append(model(pixels).embeddings[0].numpy())
    return np.stack(rows)


def read_all(folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the ids and the vectors of a whole folder."""
    shards = list(EmbeddingFolder(folder).shards())
    return [one for shard in shards for one in shard.ids], np.concatenate([shard.embeddings for shard in shards])


def all_bytes(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too, but for `locations.json`, which names paths of this machine."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCATIONS_NAME}
