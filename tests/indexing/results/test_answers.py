"""What was found, as a table, a page and a picture."""

import re

import numpy as np
import pytest
from PIL import Image

from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.indexing.results.answer_page import draw_page
from hf_vitret.indexing.results.answer_picture import draw_picture
from hf_vitret.indexing.results.answers import Answer, Hit, collect_answers, format_answers
from hf_vitret.indexing.results.found_images import FoundImages
from tests.indexing.vectors import unit_rows

COLORS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 200)}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (60, 40), color).save(folder / f"{name}.png")
    return folder


def answer(*hits, query="query.png", positions=(0, 1, 2)):
    ranked = enumerate(zip(hits, positions, strict=False), start=1)
    return Answer(query, tuple(Hit(rank, *hit, position=position) for rank, (hit, position) in ranked))


def test_answers_are_looked_up():
    index = ImageIndex.build(
        unit_rows(3), ["a", "b", "c"], metadata={"path": ["a.png", None, "c.png"], "price": [1, 2, 3]}
    )
    scores = np.array([[0.5, 0.25], [0.75, -np.inf], [-np.inf, -np.inf]], dtype=np.float32)
    found = collect_answers(index, ["x", "y", "z"], scores, np.array([[2, 1], [0, -1], [-1, -1]]))
    assert found == [
        answer(("c", 0.5, "c.png", {"price": 3}), ("b", 0.25, None, {"price": 2}), query="x", positions=(2, 1)),
        answer(("a", 0.75, "a.png", {"price": 1}), query="y"),
        answer(query="z"),
    ]


def test_the_table():
    hits = [
        ("a\x1b[31m", 0.98765, None, {"color": "red", "price": None}),
        ("b" * 99, -0.5, None, {"color": 1, "price": 2}),
    ]
    assert format_answers([answer(*hits), answer(query="other.png")]).splitlines() == [
        "query.png",
        "  rank    score  image_id" + " " * 54 + "color  price",
        "     1   0.9877  a?[31m" + " " * 56 + "red",
        "     2  -0.5000  …" + "b" * 59 + "  1      2",
        "",
        "other.png",
        "  no match",
    ]


def test_only_images_of_the_folder_are_opened(photos, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    (photos / "broken.png").write_bytes(b"no image")
    images = FoundImages(photos, 32)
    assert images.found("red.png").getpixel((3, 3)) == COLORS["red"]
    assert images.found("red.png").size == (32, 21)
    refused = (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "broken.png",
        "none.png",
        "",
        None,
        "a\0b",
        ".",
    )
    assert [images.found(path) for path in refused] == [None] * len(refused)
    assert images.found("https://example.org/red.png") is None
    assert FoundImages(None, 32).found("red.png") is None
    with pytest.raises(FileNotFoundError, match="nowhere is none"):
        FoundImages(tmp_path / "nowhere", 32)


def test_the_page(photos):
    hits = [("<b>id</b>", 0.9, "red.png", {"color": '"><script>'}), ("lost", 0.8, "../x.png", {"color": None})]
    page = draw_page([answer(*hits), answer(query="other.png")], [photos / "blue.png"] * 2, photos, note="a & b")
    assert page.count("data:image/jpeg;base64,") == 3  # two queries and one of what was found
    assert page.count("no picture") == 1
    assert page.count("No match.") == 1
    assert "<script>" not in page
    assert "<b>id" not in page
    assert "a &amp; b" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "$" not in page


def test_the_picture(photos):
    hits = [("r", 0.9, "red.png", {}), ("lost", 0.8, None, {}), ("g", 0.7, "green.png", {})]
    picture = draw_picture([answer(*hits), answer(query="none")], [photos / "blue.png"] * 2, photos)
    cell, line, left = 104, 104 + 18 + 8, 8 + 104 + 24
    centres = [
        (8 + cell // 2, 32 + cell // 2),
        *((left + place * 112 + cell // 2, 32 + cell // 2) for place in range(3)),
    ]
    assert [picture.getpixel(centre) for centre in centres] == [
        COLORS["blue"],
        COLORS["red"],
        (246, 248, 250),
        COLORS["green"],
    ]
    assert picture.getpixel((8 + cell // 2, 32 + line + cell // 2)) == COLORS["blue"]
    assert picture.size == (left + 3 * 112, 32 + 2 * line)
