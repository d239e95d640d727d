"""Places in photographs: rectangles that do not overlap, with something in them to be recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

SIDES = (96, 176)  # pixels; the photographs are some 400 to 1,000 wide
MIDDLE = 0.42  # of a scene's side: the object that a query asks for
# Least standard deviation of the luminance, of 255, in a scene's middle: a piece of sky has less.
MIN_CONTRAST = 14
MAX_TRIES = 20_000


@dataclass(frozen=True)
class Scene:
    """A square part of a photograph, which plays a place; all views of the place stay inside it.

    Attributes:
        photograph: Its name.
        left: In pixels.
        top: In pixels.
        side: Of the square, in pixels.
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
    """Choose scenes with contrast, at random places and of random size.

    Args:
        photographs: By name; one is chosen as often as its area says.
        number: How many.
        rng: Where the chance comes from.
        apart: Whether no two may overlap.

    Raises:
        ValueError: There is no room for so many.
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
