"""Images as the model needs them: any mode to RGB, and every file decoded once before training starts."""

from __future__ import annotations

import io
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from .schema import MAX_NAMED

if TYPE_CHECKING:
    from datasets import Dataset

PAPER = (255, 255, 255)
UINT8_PER_UINT16 = 257  # 65535 / 255: white stays white


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any PIL mode to 8-bit RGB as a viewer shows it, on white.

    The EXIF orientation is applied; transparent pixels (RGBA, LA, PA, premultiplied, a transparent palette
    entry or colour) show white; 16-bit grey is scaled to 8 bits, where `Image.convert` would clip it. 32-bit
    integers (mode I: what PIL makes of some 16-bit files) are taken as 16-bit. Floats (mode F) are taken as
    [0, 1] if none is above 1, else as [0, 255], and clipped.

    Args:
        image: The image; it is not changed.

    Returns:
        A new image of mode RGB, of the same size but for the EXIF rotation, without the EXIF orientation.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_grey(image)
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        if image.mode == "La":
            image = image.convert("LA")
        elif image.mode == "RGBa":
            image = image.convert("RGBA")
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, PAPER)
        image.paste(rgba, mask=rgba.getchannel("A"))
        return image
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_grey(image: Image.Image) -> Image.Image:
    """Scale an image of mode I, I;16* or F to 8-bit grey."""
    values = np.asarray(image).astype(np.float64)  # (height, width)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = values * (255 if values.max() <= 1 else 1)
    else:
        values = values / UINT8_PER_UINT16
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def check_images(dataset: Dataset, *, num_threads: int | None = None) -> None:
    """Decode every image of a split once, so that a bad file stops a run before it starts.

    Args:
        dataset: A split with the columns `image` and `image_id`. At most a few images per thread are in
            memory.
        num_threads: Threads that read and decode (Pillow's decoders let go of the interpreter's lock);
            default: one per CPU, 16 at most, above which a disk is the limit.

    Raises:
        ValueError: Images are missing, empty, truncated or otherwise unreadable; the message names the first
            ten by row and image_id, and counts them.
    """
    from datasets import Image as ImageFeature
    from tqdm.auto import tqdm

    num_threads = num_threads or min(16, os.cpu_count() or 1)
    rows = dataset.select_columns(["image", "image_id"]).cast_column("image", ImageFeature(decode=False))
    bad: list[str] = []
    waiting: deque[tuple[int, str, Future[str | None]]] = deque()

    def take_result() -> None:
        row, image_id, result = waiting.popleft()
        reason = result.result()
        if reason is not None:
            bad.append(f"row {row}, {image_id}: {reason}")
        bar.update()

    with ThreadPoolExecutor(num_threads) as threads, tqdm(total=len(rows), desc="Checking images") as bar:
        for row, item in enumerate(rows):
            waiting.append((row, item["image_id"], threads.submit(_find_fault, item["image"])))
            if len(waiting) > 4 * num_threads:  # enough to keep the threads busy, few enough to keep in memory
                take_result()
        while waiting:
            take_result()
    if bad:
        named = "\n  ".join(bad[:MAX_NAMED])
        more = f"\n  ... and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
        raise ValueError(
            f"{len(bad)} of {len(rows)} images cannot be read:\n  {named}{more}\nMend or remove these files, "
            "or drop the rows with dataset.select, and check again"
        )


def _find_fault(stored: dict[str, Any] | None) -> str | None:
    """Decode one image as `datasets` stores it (bytes, else a path) and return its fault, or None."""
    if stored is None or (stored["bytes"] is None and not stored["path"]):
        return "no image (null)"
    try:
        content = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
        if not content:
            return "empty file"
        with Image.open(io.BytesIO(content)) as image:
            # JPEG only: all of the stream is still read, but 1/64 of the pixels are made.
            image.draft(image.mode, (1, 1))
            ImageOps.exif_transpose(image)
    # Decoders raise what they like (SyntaxError, struct.error ...); whatever it is, it is reported.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
