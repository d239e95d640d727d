"""The photographs that the places are cut from: which package ships them, where they are from, on what terms."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image


class Photograph(NamedTuple):
    """A photograph that an installed package ships.

    Attributes:
        file: Package and path inside it.
        split: Which part of the data set it belongs to: no photograph is trained on and tested on.
        terms: Author or source, and licence, as the package tells them.
    """

    file: str
    split: str
    terms: str


# As the docstrings of `skimage.data` (scikit-image 0.26) and scikit-learn's datasets/images/README.txt have it.
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
MAX_SIDE = 800  # pixels; larger photographs (the sky of the telescope, the retina) are halved


def read_photographs(split: str) -> dict[str, Image.Image]:
    """Read the photographs of one split, as RGB.

    Raises:
        ModuleNotFoundError: A package that ships them is not installed.
        FileNotFoundError: Its version does not ship one of them.
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
    """Find a file of a package, without importing it: that would take seconds."""
    package, _, inside = file.partition("/")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"the places are cut from photographs that {package} ships, which is not installed: "
            "pip install 'hf_vitret[demo]'"
        )
    path = Path(found.submodule_search_locations[0], inside)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: this version of {package} does not ship it; scikit-image 0.26 and scikit-learn 1.9 do"
        )
    return path
