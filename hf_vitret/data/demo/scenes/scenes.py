"""Choose scenes: square parts of photographs that have enough contrast to be recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

SIDES = (96, 176)  # smallest and largest side of a scene in pixels; the photographs are about 400 to 1,000 pixels wide
MIDDLE = 0.42  # share of a scene's side that its central object takes: this is what a query asks for
# Smallest standard deviation of the luminance (0 to 255) in the middle of a scene. A part of a clear sky has less.
MIN_CONTRAST = 14
MAX_TRIES = 20_000


@dataclass(frozen=True)
class Scene:
    """A square part of a photograph that stands for a landmark; all views of the landmark stay inside the square.

    Attributes:
        photograph: Name of the photograph.
        left: Left edge in pixels of the photograph.
        top: Top edge in pixels of the photograph.
        side: Side of the square in pixels.
    """

    photograph: str
    left: int
    top: int
    side: int

    def overlaps(self, other: Scene) -> bool:
        """Say whether two scenes have a pixel in common."""
        reach_x = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        reach_y = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        return self.photograph == other.photograph and reach_x > 0 and reach_y > 0


def choose_scenes(
    photographs: Mapping[str, Image.Image], number: int, rng: np.random.Generator, *, apart: bool = True
) -> list[Scene]:
    """Choose scenes of random position and size whose middle has enough contrast.

    Args:
        photographs: Name to image. Each is chosen with a probability in proportion to its area.
        number: How many scenes to choose.
        rng: Generator of the random numbers.
        apart: Whether no two scenes may overlap.

    Returns:
        `number` scenes, in the order in which they were drawn.

    Raises:
        ValueError: `MAX_TRIES` draws did not find `number` scenes.
    """
    names = list(photographs)
    grey = {name: np.asarray(image.convert("L"), dtype=np.float32) for name, image in photographs.items()}
    areas = np.array([values.size for values in grey.values()])
    scenes: list[Scene] = []
    for _ in range(MAX_TRIES):
        if len(scenes) == number:
            return scenes
        name = names[rng.choice(len(names), p=areas / areas.sum())]
        height, width = grey[name].shape
        side = int(rng.integers(SIDES[0], min(SIDES[1], height, width), endpoint=True))
        scene = Scene(name, int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1)), side)
        rim = round((1 - MIDDLE) / 2 * side)
        middle = grey[name][scene.top + rim : scene.top + side - rim, scene.left + rim : scene.left + side - rim]
        if middle.std() >= MIN_CONTRAST and not (apart and any(map(scene.overlaps, scenes))):
            scenes.append(scene)
    raise ValueError(
        f"expected room for {number} scenes in the photographs {', '.join(names)}, found {len(scenes)}: ask for fewer"
    )
