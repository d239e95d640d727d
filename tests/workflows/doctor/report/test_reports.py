"""The table, the JSON file and the HTML page show the content of the report, also with names that need escaping."""

import base64
import html
import io
import json
import re
from html.parser import HTMLParser

import pytest
from datasets import DatasetDict
from PIL import Image as PilImage

from hf_vitret.workflows.doctor import (
    KINDS,
    SEVERITIES,
    Finding,
    ImageRef,
    Report,
    SplitCounts,
    examine,
    format_report,
    write_report,
)
from hf_vitret.workflows.doctor.findings import sort_findings
from hf_vitret.workflows.doctor.report import html_page

from ..pictures import clean_dataset, encode, make_split, picture

NASTY = '<script>alert("1 & 2")</script>\'$title'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A strict parser of a page, which requires that tags are closed in order and that attributes have values."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert all(value is not None for _, value in attributes)
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def attributes(self, tag, name):
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def nasty():
    """Make a data set whose names contain HTML and scripts, and a report of it."""
    content = encode(picture(0))
    rows = [(content, 0, NASTY), (content, 1, "b"), (b"", 0, f"lost {NASTY}"), (encode(picture(1)), 1, "c")]
    rows += [(encode(picture(2), file_format), 0, file_format) for file_format in ("PNG", "BMP")]
    dataset = DatasetDict(
        train=make_split(rows, (NASTY, "pot")),
        test=make_split([(encode(picture(9)), 1, "d"), (encode(picture(10)), 1, "e")], (NASTY, "pot")),
    )
    report = examine(dataset, name=NASTY, official_counts={"train": (9, 2)}, progress=False)
    return dataset, report


def test_the_page_is_valid_and_escaped(nasty):
    dataset, report = nasty
    text = html_page.draw_page(report, dataset)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert "<script" not in text
    assert [tag for tag, _ in page.tags if tag == "script"] == []
    assert page.text.count(html.escape(NASTY)) == 0  # not escaped twice
    assert f"lost {NASTY}" in page.text
    assert NASTY in page.attributes("img", "alt")
    for row in report.summary:
        assert KINDS[row.kind].title in page.text
    assert "train: expected 9 images of 2 classes, found 6 of 2" in page.text


def test_the_page_refers_to_nothing_outside(nasty):
    dataset, report = nasty
    text = html_page.draw_page(report, dataset)
    page = Page(text)
    sources = page.attributes("img", "src")
    assert len(sources) == 4
    for source in sources:
        assert source.startswith("data:image/jpeg;base64,")
        image = PilImage.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert max(image.size) <= 128
    links = page.attributes("a", "href")
    assert [link.removeprefix("#") for link in links] == page.ids
    assert not re.search(r"https?:|url\(|@import|<link", text)


def test_the_page_draws_a_few_and_says_how_many_it_leaves_out():
    images = [ImageRef("train", row, f"i{row}", "cup") for row in range(9)]
    dataset = DatasetDict(train=make_split([(encode(picture(row)), 0, f"i{row}") for row in range(9)]))
    findings = [Finding("same_file:inside_class", "a group", tuple(images))] * 23
    report = Report("x", (SplitCounts("train", 9, 1),), tuple(findings))
    page = Page(html_page.draw_page(report, dataset))
    assert len(page.attributes("img", "src")) == html_page.MAX_DRAWN * html_page.MAX_IMAGES == 120
    assert page.text.count("and 3 more") == 20
    assert "3 more of this kind are in doctor.json" in page.text


def test_a_suspect_is_drawn_beside_its_neighbors():
    dataset = clean_dataset()
    suspect, *others = [ImageRef("train", row, f"i{row}", "cup") for row in range(4)]
    report = Report("x", (), (Finding("mislabelled", "labelled cup", (suspect,), tuple(others)),))
    page = Page(html_page.draw_page(report, dataset))
    assert page.attributes("img", "alt") == ["i0", "i1", "i2", "i3"]


def test_an_image_that_is_lost_meanwhile_is_said_to_be():
    dataset = DatasetDict(train=make_split([(b"", 0, "gone")]))
    report = Report("x", (), (Finding("blank", "white", (ImageRef("train", 0, "gone", "cup"),)),))
    page = Page(html_page.draw_page(report, dataset))
    assert page.attributes("img", "src") == []
    assert "no picture" in page.text


def test_giant_images_are_not_decoded_for_the_page():
    dataset = DatasetDict(train=make_split([(encode(picture(0)), 0, "big")]))
    big = (ImageRef("train", 0, "big", "cup"),)
    findings = (Finding("giant", "9 megapixels", big), Finding("same_file:inside_class", "", 2 * big))
    page = Page(html_page.draw_page(Report("x", (), findings), dataset))
    assert page.attributes("img", "src") == []
    assert "train, row 0: big" in page.text
    assert page.text.count("no picture") == 2


def test_the_limit_is_that_of_the_doctor_and_not_of_pillow(monkeypatch):
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", 100)
    dataset = DatasetDict(train=make_split([(encode(picture(0)), 0, "fine")]))
    report = Report("x", (), (Finding("tiny", "", (ImageRef("train", 0, "fine", "cup"),)),))
    page = Page(html_page.draw_page(report, dataset))
    assert page.attributes("img", "alt") == ["fine"]


def test_a_page_without_findings():
    dataset = clean_dataset()
    page = Page(html_page.draw_page(examine(dataset, progress=False), dataset))
    assert "Nothing found." in page.text


def test_the_file_for_programs(nasty, tmp_path):
    dataset, report = nasty
    json_path, html_path = write_report(report, dataset, tmp_path / "deep" / "down")
    assert sorted(tmp_path.rglob("*.*")) == sorted([json_path, html_path])  # no temporary files are left
    content = json.loads(json_path.read_text(encoding="utf-8"))
    assert content["name"] == NASTY
    assert content["counts"][0] == {
        "split": "train",
        "num_images": 6,
        "num_classes": 2,
        "official_images": 9,
        "official_classes": 2,
    }
    assert [(one["kind"], one["scope"], one["severity"], one["split"]) for one in content["findings"]] == [
        ("counts", None, "error", "train"),
        ("unreadable", None, "error", None),
        ("same_file", "across_classes", "error", None),
        ("same_pixels", "inside_class", "note", None),
    ]
    assert content["findings"][2]["images"] == [
        {"split": "train", "row": 0, "image_id": NASTY, "class_name": NASTY},
        {"split": "train", "row": 1, "image_id": "b", "class_name": "pot"},
    ]
    assert content["summary"][2] == {
        "kind": "same_file:across_classes",
        "severity": "error",
        "num_findings": 1,
        "num_images": 2,
    }


def test_the_same_report_is_the_same_files(nasty, tmp_path):
    dataset, report = nasty
    write_report(report, dataset, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write_report(report, dataset, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_table():
    images = tuple(ImageRef("train", row, f"i{row}", "cup") for row in range(1234))
    report = Report(
        "x",
        (SplitCounts("train", 59_551, 11_318, 59_551, 11_318), SplitCounts("test", 6, 2)),
        (
            Finding("same_file:across_splits", "", images),
            Finding("blank", "", images[:1]),
            Finding("blank", "", images[:1]),
        ),
    )
    assert format_report(report).splitlines() == [
        "split  images  classes  official images  classes",
        "-----  ------  -------  ---------------  -------",
        "train  59,551   11,318           59,551   11,318",
        "test        6        2                -        -",
        "",
        "severity  kind                                       findings  images",
        "--------  -----------------------------------------  --------  ------",
        "error     the same file in several splits (leakage)         1   1,234",
        "warning   blank images                                      2       1",
    ]


def test_findings_are_sorted_by_severity_and_keep_their_order():
    kinds = ["palette", "blank", "unreadable", "blank", "counts"]
    found = sort_findings([Finding(kind, str(number)) for number, kind in enumerate(kinds)])
    assert [(finding.kind, finding.detail) for finding in found] == [
        ("counts", "4"),
        ("unreadable", "2"),
        ("blank", "1"),
        ("blank", "3"),
        ("palette", "0"),
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], (False, False, False)),
        (["palette"], (False, False, True)),
        (["blank"], (False, True, True)),
        (["counts"], (True, True, True)),
    ],
)
def test_findings_of_a_severity(kinds, expected):
    report = Report("x", (), tuple(Finding(kind, "") for kind in kinds))
    assert tuple(report.has_findings(severity) for severity in SEVERITIES) == expected
    assert report.has_findings() == bool(kinds)


def test_every_kind_is_complete():
    for kind, (severity, title, advice) in KINDS.items():
        assert severity in SEVERITIES
        assert title
        assert advice.endswith(".")
        assert re.fullmatch(r"[a-z_]+(:[a-z_]+)?", kind)
