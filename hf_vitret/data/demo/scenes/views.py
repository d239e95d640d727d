"""Render views of a scene: from another camera position, in another light, partly covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .cameras import View, apply_homography, corners, homography
from .scenes import MIDDLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .scenes import Scene

    Photographs = Mapping[str, Image.Image]

ASPECT = 3 / 4
# Largest changes at strength 1. A view of a lower strength draws its changes up to that share of these.
MAX_ZOOM = 2.2  # factor, larger or smaller
MAX_SHIFT = 0.30  # share of the scene's side
MAX_ROTATION_DEGREES = 30
MAX_PERSPECTIVE = 0.16  # share of the view's short side by which each corner moves
MAX_OCCLUSION = 0.75  # share of the view's sides that an object in front covers
COVERED = 0.62  # share of the scene's side that the short side of a view shows without zoom


def render_view(
    photographs: Photographs, scene: Scene, size: int, strength: float, rng: np.random.Generator, *, is_query: bool
) -> tuple[Image.Image, View]:
    """Render one view of a scene.

    Args:
        photographs: The photographs of the split. An object in front of the scene is a part of another one of them.
        scene: The scene to show. The view shows nothing outside its square.
        size: Long side of the view in pixels; the short side is three quarters of it.
        strength: How much the view may differ from the plain view, in [0, 1].
        rng: Generator of the random numbers.
        is_query: Whether the view is a query: not rotated, and nothing covers the scene.

    Returns:
        The RGB image, and the part of the photograph that it shows.
    """
    width, height = (size, round(size * ASPECT)) if rng.random() < 0.5 else (round(size * ASPECT), size)
    seen = _aim(scene, (width, height), strength, rng, is_level=is_query)
    to_photograph = homography(corners((0, 0, width, height)), seen)
    image = _warp(photographs[scene.photograph], to_photograph, (width, height), seen)
    hidden = np.zeros((height, width), dtype=np.bool_)
    if not is_query and rng.random() < 0.7 * strength:
        mask = _occluder((width, height), strength, rng)
        image.paste(_other_matter(photographs, scene, (width, height), rng), mask=mask)
        hidden = np.asarray(mask) > 127
    return _light(image, strength, rng), View(scene.photograph, (width, height), to_photograph, hidden)


def _aim(scene: Scene, size: tuple[int, int], strength: float, rng: np.random.Generator, *, is_level: bool) -> Any:
    """Return the points of the photograph that the corners of the view show, `(4, 2)` float64."""
    width, height = size
    zoom = MAX_ZOOM ** (strength * rng.uniform(-1, 1))
    turn = np.deg2rad(0 if is_level else MAX_ROTATION_DEGREES * strength * rng.uniform(-1, 1))
    shift = MAX_SHIFT * strength * scene.side * rng.uniform(-1, 1, 2)
    pull = MAX_PERSPECTIVE * strength * min(size) * rng.uniform(-1, 1, (4, 2))
    outline = corners((-width / 2, -height / 2, width / 2, height / 2)) + pull
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    outline = outline @ rotation.T * (zoom * COVERED * scene.side / min(size))
    extent = outline.max(axis=0) - outline.min(axis=0)
    outline *= min(1.0, 0.999 * scene.side / extent.max())
    outline += np.array([scene.left, scene.top]) + scene.side / 2 + shift
    low, high = np.array([scene.left, scene.top]), np.array([scene.left, scene.top]) + scene.side
    outline += np.maximum(0, low - outline.min(axis=0)) - np.maximum(0, outline.max(axis=0) - high)
    return outline


def _warp(photograph: Image.Image, matrix: Any, size: tuple[int, int], seen: Any) -> Image.Image:
    """Resample a part of a photograph into a view.

    Where the view is smaller than the part, the photograph is averaged down first: the transform itself would alias.
    """
    per_pixel = float(np.linalg.norm(seen - np.roll(seen, 1, axis=0), axis=1).mean() / np.mean(size))
    factor = max(1, int(per_pixel))
    coefficients = (np.diag([1 / factor, 1 / factor, 1]) @ matrix).ravel()[:8]
    smaller = photograph.reduce(factor) if factor > 1 else photograph
    return smaller.transform(
        size, Image.Transform.PERSPECTIVE, tuple(map(float, coefficients)), Image.Resampling.BICUBIC
    )


def _occluder(size: tuple[int, int], strength: float, rng: np.random.Generator) -> Image.Image:
    """Return the mask of an object in front, a rotated rectangle or an ellipse: 255 inside it, 0 elsewhere."""
    width, height = size
    reach = MAX_OCCLUSION * strength * rng.uniform(0.4, 1, 2) * np.array(size) / 2
    centre = rng.uniform(0.1, 0.9, 2) * np.array([width, height])
    mask = Image.new("L", size, 0)
    if rng.random() < 0.5:
        turn = rng.uniform(0, np.pi)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        outline = corners((-reach[0], -reach[1], reach[0], reach[1])) @ rotation.T + centre
        ImageDraw.Draw(mask).polygon([tuple(map(float, point)) for point in outline], fill=255)
    else:
        ImageDraw.Draw(mask).ellipse([*map(float, centre - reach), *map(float, centre + reach)], fill=255)
    return mask


def _other_matter(
    photographs: Photographs, scene: Scene, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """Return a part of another photograph, the texture of an object in front."""
    names = [name for name in photographs if name != scene.photograph]
    other = photographs[names[int(rng.integers(len(names)))]]
    left, top = (int(rng.integers(max(1, full - part))) for full, part in zip(other.size, size))
    return other.crop((left, top, left + size[0], top + size[1]))


def _light(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Change gamma, contrast, brightness (with a gradient) and tint, and add the blur and noise of a camera."""
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(1.4 * strength * float(rng.random())))
    values = np.asarray(image, dtype=np.float32) / 255
    height, width, _ = values.shape
    amount = strength * rng.uniform(-1, 1, 8)
    values = values ** np.float32(2 ** amount[0])
    mean = values.mean()
    values = (values - mean) * np.float32(1 + 0.55 * amount[1]) + mean
    slope = np.linspace(-1, 1, width)[None, :] * amount[2] + np.linspace(-1, 1, height)[:, None] * amount[3]
    gain = (1 + 0.4 * amount[4] + 0.35 * slope)[..., None] * (1 + 0.25 * amount[5:8])
    values = values * gain + rng.normal(0, 0.05 * strength * rng.random() + 1e-3, values.shape)
    return Image.fromarray((values * 255).round().clip(0, 255).astype(np.uint8))


def object_box(view: View, scene: Scene) -> tuple[float, float, float, float]:
    """Return the box around the middle of a scene in a view: left, top, right, bottom in pixels, to one decimal."""
    rim = (1 - MIDDLE) / 2 * scene.side
    part = (scene.left + rim, scene.top + rim, scene.left + scene.side - rim, scene.top + scene.side - rim)
    outline = apply_homography(np.linalg.inv(view.to_photograph), corners(part))
    low = np.clip(outline.min(axis=0), 0, view.size)
    high = np.clip(outline.max(axis=0), 0, view.size)
    left, top, right, bottom = (round(float(value), 1) for value in (*low, *high))
    return left, top, right, bottom
