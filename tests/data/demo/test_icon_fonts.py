"""The icon fonts: found without importing qtawesome, each with a licence, and drawn without boxes."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from hf_vitret.data.demo.icon_fonts import (
    ICON_FONT_LICENSES,
    ICON_FONTS,
    draw_glyphs,
    find_font_files,
    find_fonts_version,
)


def test_each_font_has_a_licence_and_each_licence_a_font():
    assert {font.family for font in ICON_FONTS.values()} == set(ICON_FONT_LICENSES)
    assert {spdx for spdx, _ in ICON_FONT_LICENSES.values()} == {"OFL-1.1", "Apache-2.0", "MIT", "CC-BY-4.0"}
    readme = importlib.metadata.metadata("qtawesome").get_payload()
    for _, source in ICON_FONT_LICENSES.values():
        assert source in readme


def test_the_font_that_states_its_licence_states_this_one():
    names = TTFont(find_font_files("ph")[0])["name"]
    assert names.getDebugName(13) == ICON_FONT_LICENSES["Phosphor"][0]


def test_every_font_file_of_qtawesome_is_used_once():
    folder = find_font_files("ph")[0].parent
    used = sorted(file.name for font in ICON_FONTS for file in find_font_files(font))
    assert used == sorted(file.name for file in folder.iterdir() if file.suffix in (".ttf", ".json"))


@pytest.mark.parametrize("font", ["msc", "ei", "fa6"])
def test_every_mapped_icon_is_drawn_and_no_two_boxes(font):
    font_file, map_file = find_font_files(font)
    mapped = TTFont(font_file).getBestCmap()
    codes = {name: int(code, 16) for name, code in json.loads(map_file.read_text()).items()}
    glyphs = {glyph.name: glyph for glyph in draw_glyphs(font, 32)}
    assert set(glyphs) <= {name for name, code in codes.items() if code in mapped}
    assert len(glyphs) > 0.99 * len(codes)
    for glyph in glyphs.values():
        ink = np.asarray(glyph.ink)
        assert ink.shape == (32, 32)
        assert ink.max() > 60
        assert not np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).any(), f"{glyph.name} touches the border"


def test_unmapped_and_blank_characters_are_left_out(monkeypatch, tmp_path):
    font_file, _ = find_font_files("msc")
    cmap = TTFont(font_file).getBestCmap()
    absent = next(code for code in range(0x4E00, 0x9FFF) if code not in cmap)
    (tmp_path / "map.json").write_text(json.dumps({"add": "0xea60", "box": hex(absent), "end": "0x10fffe"}))
    monkeypatch.setattr(
        "hf_vitret.data.demo.icon_fonts.find_font_files", lambda font: (font_file, tmp_path / "map.json")
    )
    assert [glyph.name for glyph in draw_glyphs("msc", 32)] == ["add"]


def test_chosen_icons_alone():
    assert [glyph.name for glyph in draw_glyphs("fa6", 32, {"bell", "heart"})] == ["bell", "heart"]


def test_an_unknown_font():
    with pytest.raises(ValueError, match="unknown icon font 'fa4': the known ones are fa5, "):
        find_font_files("fa4")


def test_qtawesome_is_found_and_not_imported():
    code = (
        "import sys; from hf_vitret.data.demo.icon_fonts import draw_glyphs; next(draw_glyphs('msc', 16));"
        "print([name for name in sys.modules if name.startswith(('qtawesome', 'qtpy', 'PyQt', 'PySide'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert find_fonts_version() == importlib.metadata.version("qtawesome")


def test_without_qtawesome(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "qtawesome" else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=r'not installed: pip install "hf_vitret\[demo\]"'):
        next(draw_glyphs("msc", 16))


def test_another_version_of_the_fonts(monkeypatch, tmp_path):
    (tmp_path / "codicon-1.ttf").touch()
    monkeypatch.setattr("hf_vitret.data.demo.icon_fonts.find_font_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected one codicon-\*.ttf and one codicon-charmap-\*.json"):
        find_font_files("msc")
