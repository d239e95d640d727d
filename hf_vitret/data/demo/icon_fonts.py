"""Draw the glyphs of the icon fonts in the PyPI package qtawesome, without importing qtawesome or Qt."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from PIL import Image

# Em of the font, as a share of the side of the image. The largest glyphs (Font Awesome) are 1.25 em wide and 1 em high.
# With the largest rotation and shift of icons.py they reach 0.64 * (1.25 cos 12 + sin 12) / 2 + 0.04 < 0.5 of the side
# from the middle, so that no icon is cut.
EM_SHARE = 0.64


@dataclass(frozen=True)
class IconFont:
    """One font file of qtawesome.

    Attributes:
        file_prefix: Start of the names of the `.ttf` file and of the character map, without the version.
        style_suffixes: Last words of a name that describe the style of the drawing, not the concept.
        family: Key of `ICON_FONT_LICENSES`.
    """

    file_prefix: str
    style_suffixes: tuple[str, ...]
    family: str


# The keys are the prefixes of qtawesome, so that "fa6s.house" is the same icon in both. The style suffixes were chosen
# by counting the last words of the names in each font: phosphor has four weights of each icon, remix two, mdi "outline"
# and "variant", Font Awesome and Elusive "alt". Words that enclose or change the concept (box, circle, square, off,
# plus, simple) are kept, and so is "bold" outside phosphor: "format-bold" is the letter B. qtawesome has no duotone
# font.
ICON_FONTS: dict[str, IconFont] = {
    "fa5": IconFont("fontawesome5-regular-webfont", ("alt",), "Font Awesome"),
    "fa5s": IconFont("fontawesome5-solid-webfont", ("alt",), "Font Awesome"),
    "fa5b": IconFont("fontawesome5-brands-webfont", ("alt",), "Font Awesome"),
    "fa6": IconFont("fontawesome6-regular-webfont", ("alt",), "Font Awesome"),
    "fa6s": IconFont("fontawesome6-solid-webfont", ("alt",), "Font Awesome"),
    "fa6b": IconFont("fontawesome6-brands-webfont", ("alt",), "Font Awesome"),
    "mdi5": IconFont("materialdesignicons5-webfont", ("outline", "variant"), "Material Design Icons"),
    "mdi6": IconFont("materialdesignicons6-webfont", ("outline", "variant"), "Material Design Icons"),
    "ph": IconFont("phosphor", ("thin", "light", "bold", "fill"), "Phosphor"),
    "ri": IconFont("remixicon", ("line", "fill"), "Remix Icon"),
    "msc": IconFont("codicon", ("outline", "filled", "full"), "Codicons"),
    "ei": IconFont("elusiveicons-webfont", ("alt",), "Elusive Icons"),
}

# Families in which an icon keeps its code point when it is renamed. From version 5 to 6 Font Awesome renamed 296 icons;
# the 100 that were inspected all kept their code point ("home", "house"). Material Design Icons reuses code points
# ("amazon" became "greenhouse"), so that only its names identify an icon.
STABLE_CODE_POINTS = frozenset({"Font Awesome"})

# From qtawesome 1.4.2: its README names a licence for each font, and the name table of Phosphor says MIT. The fonts of
# Font Awesome are OFL-1.1 (its SVG files, which qtawesome does not contain, are CC-BY-4.0). Brand icons are trademarks
# of their owners, independent of the licence of the drawing.
ICON_FONT_LICENSES: dict[str, tuple[str, str]] = {
    "Font Awesome": ("OFL-1.1", "https://github.com/FortAwesome/Font-Awesome/blob/master/LICENSE.txt"),
    "Material Design Icons": (
        "Apache-2.0",
        "https://github.com/Templarian/MaterialDesign/blob/master/LICENSE",
    ),
    "Phosphor": ("MIT", "https://github.com/phosphor-icons/phosphor-icons/blob/master/LICENSE"),
    "Remix Icon": ("Apache-2.0", "https://github.com/Remix-Design/remixicon/blob/master/License"),
    "Codicons": ("CC-BY-4.0", "https://github.com/microsoft/vscode-codicons/blob/master/LICENSE"),
    "Elusive Icons": ("OFL-1.1", "http://elusiveicons.com/license/"),
}


@dataclass(frozen=True)
class Glyph:
    """The drawing of one icon of one font.

    Attributes:
        font: Key of `ICON_FONTS`.
        name: Name of the icon in that font.
        code_point: Unicode code point of the icon.
        ink: The drawing, an image of mode L: 0 is background, 255 is ink.
    """

    font: str
    name: str
    code_point: int
    ink: Image.Image


def find_font_folder() -> Path:
    """Find the folder of the fonts inside the installed qtawesome, without importing the package.

    Raises:
        ModuleNotFoundError: qtawesome is not installed.
    """
    spec = importlib.util.find_spec("qtawesome")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "expected the package qtawesome, whose fonts draw the icons; it is not installed: "
            'pip install "hf_vitret[demo]"'
        )
    return Path(spec.origin).parent / "fonts"


def find_fonts_version() -> str:
    """Return the version of the installed qtawesome, which determines the fonts and so the drawings.

    Raises:
        ModuleNotFoundError: qtawesome is not installed.
    """
    find_font_folder()
    return importlib.metadata.version("qtawesome")


def find_font_files(font: str) -> tuple[Path, Path]:
    """Find the files of a font in the installed qtawesome, of any version of the font.

    Args:
        font: Key of `ICON_FONTS`.

    Returns:
        The `.ttf` file and the JSON file of the character map.

    Raises:
        ValueError: The font is not a key of `ICON_FONTS`.
        FileNotFoundError: The installed qtawesome does not have exactly one file of each kind.
        ModuleNotFoundError: qtawesome is not installed.
    """
    if font not in ICON_FONTS:
        raise ValueError(f"unknown icon font {font!r}: the known ones are {', '.join(ICON_FONTS)}")
    folder, prefix = find_font_folder(), ICON_FONTS[font].file_prefix
    found = [sorted(folder.glob(pattern)) for pattern in (f"{prefix}-[0-9]*.ttf", f"{prefix}-charmap-[0-9]*.json")]
    if [len(files) for files in found] != [1, 1]:
        raise FileNotFoundError(
            f"expected one {prefix}-*.ttf and one {prefix}-charmap-*.json in {folder}, found "
            f"{[file.name for files in found for file in files]}: install qtawesome 1.4 (pip install "
            "'qtawesome>=1.4,<1.5')"
        )
    return found[0][0], found[1][0]


def draw_glyphs(font: str, side: int, names: Container[str] | None = None) -> Iterator[Glyph]:
    """Draw every icon of a font in the middle of a square, in the order of the character map.

    Glyphs keep their size in the em square of the font, so that a small dot stays small. Blank glyphs and the box that
    the font draws for missing characters are left out.

    Args:
        font: Key of `ICON_FONTS`.
        side: Side of the drawing in pixels.
        names: The icons to draw; `None`: all.

    Yields:
        One `Glyph` for each name. Two names of the same glyph give two drawings.

    Raises:
        ValueError: The font is not a key of `ICON_FONTS`.
        FileNotFoundError: The installed qtawesome does not have exactly one file of each kind for the font.
        ModuleNotFoundError: qtawesome is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    font_file, map_file = find_font_files(font)
    typeface = ImageFont.truetype(str(font_file), round(side * EM_SHARE))

    def draw(character: str) -> Image.Image:
        ink = Image.new("L", (side, side), 0)
        pen = ImageDraw.Draw(ink)
        left, top, right, bottom = pen.textbbox((0, 0), character, font=typeface)
        pen.text(((side - left - right) / 2, (side - top - bottom) / 2), character, fill=255, font=typeface)
        return ink

    # U+FFFF and U+10FFFF are noncharacters that no font maps, so they draw the box for missing characters.
    not_icons = {draw("\uffff").tobytes(), draw("\U0010ffff").tobytes(), bytes(side * side)}
    for name, code in json.loads(map_file.read_text(encoding="utf-8")).items():
        if names is not None and name not in names:
            continue
        code_point = int(code, 16)
        ink = draw(chr(code_point))
        if ink.tobytes() not in not_icons:
            yield Glyph(font, name, code_point, ink)
