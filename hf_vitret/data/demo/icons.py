"""The icons data set: concepts drawn by several icon fonts of the package qtawesome, without any download."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.atomic_writes import whole_file
from ...files.locks import one_process
from ..splits import split_by_class
from .icon_fonts import ICON_FONTS, STABLE_CODE_POINTS, Glyph, draw_glyphs, find_fonts_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from datasets import Dataset, DatasetDict
    from PIL import Image

# Increase this number when this file or icon_fonts.py draws other images, so that old cache files are ignored.
FORMAT = 2
# Two drawings of one concept whose overlap (soft intersection over union) reaches this value count as one drawing. Font
# Awesome 6 redrew most icons of version 5, and mdi6 changed the hints of mdi5, so that equal artwork rarely has equal
# pixels. An inspection of pairs found equal artwork at 0.90 and above, and moved lines at 0.85 and below.
SAME_DRAWING_OVERLAP = 0.9
# Side in pixels at which drawings are compared. It does not depend on `size`, so `size` does not change the concepts.
COMPARED_SIDE = 80
# The jitter prevents a search by raw pixels from solving the task, while every icon stays upright and complete: the
# nearest neighbour by squared difference of the 112-pixel images has R@1 = 11.3 on the test split (12,544 dimensions;
# 14.5 at 28 pixels).
MAX_ROTATION_DEGREES = 12.0
MAX_SHIFT_SHARE = 0.04  # share of the side of the image, along each axis
SCALE_RANGE = (0.8, 1.0)
SUPERSAMPLING = 2  # drawn at twice the side and reduced at the end, so that rotated lines are smooth


def group_by_concept(glyphs: Iterable[Glyph]) -> dict[str, list[Glyph]]:
    """Group drawings by the concept that they show. Each drawing belongs to one concept.

    The concept of an icon is its name without the style suffixes of its font. The order of the words does not matter:
    "circle-check" is "check-circle". Names that Font Awesome gives to one code point are one concept ("home" in
    version 5, "house" in version 6; see `STABLE_CODE_POINTS`). A concept has the name of most of its drawings. If the
    same drawing, pixel for pixel, occurs under several concepts (codicons have such aliases), it belongs to the concept
    with the most drawings.

    Args:
        glyphs: Drawings, all of the same size.

    Returns:
        Each concept to its drawings, sorted by concept. Of equal drawings of a concept (`SAME_DRAWING_OVERLAP`), only
        the first is kept.
    """
    drawings: defaultdict[str, list[Glyph]] = defaultdict(list)  # the sorted words of a name -> its drawings
    stems: dict[tuple[str, str], str] = {}
    parents: dict[str, str] = {}
    first_of_code: dict[tuple[str, int], str] = {}

    def find_root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            key = parents[key]
        return key

    for glyph in glyphs:
        stem = strip_style(glyph.name, ICON_FONTS[glyph.font].style_suffixes)
        stems[glyph.font, glyph.name] = stem
        key = "-".join(sorted(stem.split("-")))
        drawings[key].append(glyph)
        family = ICON_FONTS[glyph.font].family
        if family in STABLE_CODE_POINTS:
            first_key = first_of_code.setdefault((family, glyph.code_point), key)
            parents[find_root(key)] = find_root(first_key)

    merged: defaultdict[str, list[Glyph]] = defaultdict(list)
    for key, members in drawings.items():
        merged[find_root(key)].extend(members)
    named: dict[str, list[Glyph]] = {}
    for members in merged.values():
        counts = Counter(stems[glyph.font, glyph.name] for glyph in members)
        named[min(counts, key=lambda stem: (-counts[stem], stem))] = members

    owners: dict[bytes, str] = {}
    for concept in sorted(named, key=lambda concept: (-len(named[concept]), concept)):
        for glyph in named[concept]:
            owners.setdefault(glyph.ink.tobytes(), concept)
    return {
        concept: drop_equal([glyph for glyph in named[concept] if owners[glyph.ink.tobytes()] == concept])
        for concept in sorted(named)
    }


def strip_style(name: str, style_suffixes: Sequence[str]) -> str:
    """Remove the style suffixes from the end of the name of an icon; at least one word is left.

    Examples:
        >>> strip_style("account-alert-variant-outline", ("outline", "variant"))
        'account-alert'
    """
    words = name.split("-")
    while len(words) > 1 and words[-1] in style_suffixes:
        words.pop()
    return "-".join(words)


def drop_equal(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Keep the first of each set of equal drawings. Drawings that differ in size or position alone are equal."""
    from PIL import ImageOps

    kept: list[tuple[np.ndarray[Any, np.dtype[np.uint8]], Glyph]] = []
    for glyph in glyphs:
        fitted = ImageOps.pad(glyph.ink.crop(glyph.ink.getbbox()), glyph.ink.size)
        ink = np.asarray(fitted, dtype=np.uint8)  # (side, side)
        if all(np.minimum(ink, other).sum() < SAME_DRAWING_OVERLAP * np.maximum(ink, other).sum() for other, _ in kept):
            kept.append((ink, glyph))
    return [glyph for _, glyph in kept]


def jitter(ink: Image.Image, image_id: str, size: int) -> Image.Image:
    """Rotate, shift and scale a drawing by small amounts that depend on `image_id` alone.

    Args:
        ink: The drawing, a square image of mode L whose side is a multiple of `size`; 0 is background.
        image_id: Id of the image. Its SHA-256 gives the four amounts, the same in each process and on each machine.
        size: Side of the result in pixels.

    Returns:
        An image of mode L, `size` x `size` pixels, black on white.
    """
    from PIL import Image, ImageOps

    digest = hashlib.sha256(image_id.encode()).digest()
    turn, shift_x, shift_y, scale = np.frombuffer(digest[:16], dtype="<u4") / 2**32  # each in [0, 1)
    radians = np.deg2rad((2 * turn - 1) * MAX_ROTATION_DEGREES)
    zoom = SCALE_RANGE[0] + scale * (SCALE_RANGE[1] - SCALE_RANGE[0])
    cos, sin, centre = np.cos(radians) / zoom, np.sin(radians) / zoom, ink.width / 2
    x = centre + (2 * shift_x - 1) * MAX_SHIFT_SHARE * ink.width
    y = centre + (2 * shift_y - 1) * MAX_SHIFT_SHARE * ink.width
    # PIL takes the map from output to input: rotation and scale about the shifted centre (x, y).
    inverse = (cos, sin, centre - cos * x - sin * y, -sin, cos, centre + sin * x - cos * y)
    moved = ink.transform(ink.size, Image.Transform.AFFINE, tuple(map(float, inverse)), Image.Resampling.BILINEAR)
    return ImageOps.invert(moved.reduce(ink.width // size))


def render_icons(fonts: Sequence[str], size: int, min_drawings: int) -> Dataset:
    """Draw the data set: one row for each drawing of each concept with at least `min_drawings` of them.

    Args:
        fonts: Keys of `ICON_FONTS`.
        size: Side of the images in pixels.
        min_drawings: Smallest number of different drawings of a concept.

    Returns:
        A data set with the columns `image` (PNG bytes), `label` (`ClassLabel` with the concepts) and `image_id`
        (`font.name`), sorted by concept.
    """
    from datasets import ClassLabel, Dataset, Features, Image, Value
    from tqdm.auto import tqdm

    compared = (glyph for font in fonts for glyph in draw_glyphs(font, COMPARED_SIDE))
    concepts: dict[str, dict[str, str]] = {font: {} for font in fonts}  # font -> name of the icon -> concept
    for concept, members in group_by_concept(compared).items():
        if len(members) >= min_drawings:
            for glyph in members:
                concepts[glyph.font][glyph.name] = concept
    rows = []
    with tqdm(total=sum(map(len, concepts.values())), desc="Drawing icons", unit="icon") as bar:
        for font, concept_of in concepts.items():
            for glyph in draw_glyphs(font, SUPERSAMPLING * size, concept_of):
                image_id, png = f"{font}.{glyph.name}", io.BytesIO()
                jitter(glyph.ink, image_id, size).save(png, "PNG")
                rows.append((concept_of[glyph.name], image_id, png.getvalue()))
                bar.update()
    rows.sort()
    names = sorted({concept for concept, _, _ in rows})
    return Dataset.from_dict(
        {
            "image": [{"bytes": png, "path": None} for _, _, png in rows],
            "label": [concept for concept, _, _ in rows],
            "image_id": [image_id for _, image_id, _ in rows],
        },
        features=Features(image=Image(), label=ClassLabel(names=names), image_id=Value("string")),
    )


def load_icons(
    data_dir: None = None,
    *,
    fonts: Sequence[str] = tuple(ICON_FONTS),
    size: int = 112,
    min_drawings: int = 2,
    test_fraction: float = 0.5,
    seed: int = 0,
    cache_dir: str | PathLike[str] | None = None,
) -> DatasetDict:
    """Load the icons data set. It is drawn on first use and kept as a Parquet file in the cache of `datasets`.

    A class is a concept such as "umbrella". Its images are drawings by Font Awesome, Material Design Icons, Phosphor,
    Remix Icon, Codicons and Elusive Icons, black on white and slightly rotated, shifted and scaled. Classes have few
    images, as in Stanford Online Products, and train and test share no class.

    Args:
        data_dir: Must be `None`, because the fonts are in the installed qtawesome. Every loader has this parameter.
        fonts: Keys of `ICON_FONTS`, which are the prefixes of qtawesome.
        size: Side of the images in pixels, at least 16.
        min_drawings: Smallest number of different drawings of a concept, at least 2: a class of one image has no
            positive pair.
        test_fraction: Share of the concepts in the test split (`choose_test_classes`), in [0, 1). 0: no test split.
        seed: Seed of the split; it does not change the images.
        cache_dir: Folder of the Parquet file; `None`: `datasets.config.HF_DATASETS_CACHE / "hf_vitret_icons"`.

    Returns:
        A `DatasetDict` with `train` and `test`, or `train` alone with `test_fraction=0`; `label` is a `ClassLabel` with
        the concepts, `image_id` is qtawesome's name of the icon, such as "fa6s.house".

    Raises:
        ModuleNotFoundError: qtawesome is not installed.
        ValueError: `data_dir` is given; a font is unknown; an option is outside its domain; or there are too few
            concepts.
    """
    import datasets

    if data_dir is not None:
        raise ValueError(
            f"expected no data_dir for the icons data set, got {data_dir!r}: leave it out, or use 'catalogue'"
        )
    if size < 16 or min_drawings < 2:
        raise ValueError(f"expected size >= 16 and min_drawings >= 2, got {size} and {min_drawings}")
    unknown = [font for font in fonts if font not in ICON_FONTS]
    if unknown or not fonts:
        raise ValueError(f"unknown icon fonts {unknown}: choose some of {', '.join(ICON_FONTS)}")
    fonts = [font for font in ICON_FONTS if font in fonts]  # the order of the argument must not change the result
    key = f"{FORMAT}|{find_fonts_version()}|{','.join(fonts)}|{size}|{min_drawings}"
    folder = Path(cache_dir or Path(datasets.config.HF_DATASETS_CACHE) / "hf_vitret_icons")
    parquet = folder / f"icons-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    with one_process(parquet):
        if not parquet.exists():
            with whole_file(parquet) as partial:
                render_icons(fonts, size, min_drawings).to_parquet(str(partial))
    drawn = datasets.Dataset.from_parquet(str(parquet), cache_dir=str(folder))
    return split_by_class(drawn, test_fraction, seed)
