"""A data set with a defect of every kind: each is found, and nothing else."""

import unicodedata

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as PilImage
from PIL import ImageDraw

from hf_vitret.workflows.doctor import KINDS, Settings, examine, write_report
from tests.chromium import PROGRAM, running_chromium
from tests.models.test_color_profiles import WIDE

from .pictures import encode, picture

# Those that need a model, or all classes of a data set; they have tests of their own.
ELSEWHERE = {"mislabelled", "class_level"} | {kind for kind in KINDS if kind.startswith("similar_embedding")}
LEFT_OUT = [
    {"reason": "images without a decoder: install it", "count": 3, "is_image": True, "names": ["cup/a.heic"]},
    {"reason": "files that are no images", "count": 2, "is_image": False, "names": ["notes.txt"]},
]


class Plan:
    """Rows of a data set, and the findings that they should cause."""

    def __init__(self):
        self.rows = {"train": [], "query": [], "gallery": []}
        self.expected = set()
        self._seed = 0

    def new(self, size=(96, 80)):
        """Draw a picture that is like no other one."""
        self._seed += 1
        return picture(5_000 + self._seed, size)

    def add(self, split, label, image_id, content=None):
        self.rows[split].append((encode(self.new()) if content is None else content, label, image_id))
        return image_id

    def fill(self, split, label, count=2):
        return [self.add(split, label, f"{split}/{label}/{number}") for number in range(count)]

    def expect(self, kind, *image_ids):
        self.expected.add((kind, frozenset(image_ids)))

    def dataset(self):
        features = Features(image=Image(), label=Value("string"), image_id=Value("string"))
        splits = {}
        for name, rows in self.rows.items():
            contents, labels, ids = zip(*rows)
            images = [{"bytes": content, "path": None} for content in contents]
            splits[name] = Dataset.from_dict({"image": images, "label": labels, "image_id": ids}, features=features)
        return DatasetDict(splits)


def glyph(colour, seed):
    """Draw a figure of one colour on a transparent ground."""
    image = PilImage.new("RGBA", (96, 96), (0, 0, 0, 0))
    for left, top in np.random.default_rng(seed).integers(0, 70, (4, 2)).tolist():
        ImageDraw.Draw(image).ellipse((left, top, left + 25, top + 15), fill=colour)
    return encode(image)


def plan_images(plan):
    """Plant a defect of every kind of single images."""
    exif = PilImage.Exif()
    exif[0x0112] = 6
    sixteen = np.asarray(plan.new().convert("L")).astype(np.uint16) * 257
    contents = {
        "cmyk": encode(plan.new().convert("CMYK"), "JPEG", quality=95),
        "color_profile": encode(plan.new(), icc_profile=WIDE),
        "palette": encode(plan.new().convert("P")),
        "sixteen_bit": encode(PilImage.fromarray(sixteen)),
        "other_mode": encode(plan.new().convert("LAB"), "TIFF"),
        "animated": encode(plan.new(), "WEBP", save_all=True, append_images=[plan.new()]),
        "exif_rotated": encode(plan.new(), exif=exif),
        "tiny": encode(plan.new((31, 40))),
        "giant": encode(PilImage.new("1", (1_100, 1_000))),
        "blank": encode(PilImage.new("RGB", (64, 64), (9, 200, 7))),
    }
    for kind, content in contents.items():
        plan.expect(kind, plan.add("train", "odd", f"{kind}.png", content))
    damaged = {
        "empty": b"",
        "cut": encode(plan.new(), "JPEG")[:-300],
        "page": b"<html>not found</html>",
        "script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n{} loop\n",
        "strip": encode(plan.new((2_000, 33))),
    }
    for name, content in damaged.items():
        plan.expect("unreadable", plan.add("train", "odd", f"{name}.jpg", content))


def plan_duplicates(plan):
    """Plant a pair of each similarity in each scope."""
    for scope, (split, label) in {
        "inside_class": ("train", "copies"),
        "across_classes": ("train", "others"),
        "across_splits": ("gallery", "sought"),
    }.items():
        for kind in ("same_file", "same_pixels", "near_duplicate"):
            image = plan.new((300, 220))
            content = encode(image)
            copy = {"same_file": content, "same_pixels": encode(image, "BMP")}.get(kind)
            copy = copy or encode(image.resize((150, 110)), "JPEG", quality=80)
            one = plan.add("train", "copies", f"{kind}-{scope}-1", content)
            plan.expect(f"{kind}:{scope}", one, plan.add(split, label, f"{kind}-{scope}-2", copy))


def plan_names(plan):
    """Plant class names that are probably no class of their own."""
    variants = ["Shoe", "shoe", "shoe "]
    plan.expect("class_name_variants", *(image_id for name in variants for image_id in plan.fill("train", name)))
    forms = ["café", unicodedata.normalize("NFD", "café")]
    plan.expect("class_name_variants", *(image_id for name in forms for image_id in plan.fill("train", name)))
    for name in ("-1", "nan", "None"):
        plan.expect("placeholder_class", *plan.fill("train", name))
    names = ["golden retriever", "golden retreiver"]
    plan.expect("similar_class_names", *(image_id for name in names for image_id in plan.fill("train", name)))
    for number in range(4):
        plan.add("train", "front", f"sku{number}/front/0.jpg")
    plan.expect("repeated_class_folder")


def planted():
    """Make the data set and its expected findings."""
    plan = Plan()
    plan.fill("train", "odd", 1)
    plan.fill("train", "others")
    plan.fill("train", "cup", 3)
    for seed, colour in enumerate([(255, 255, 255, 255), (250, 251, 249, 255), (0, 0, 0, 255)]):
        plan.add("train", "cup", f"glyph {seed}", glyph(colour, seed))  # no defect
    plan.add("train", "cup", "photo.webp", encode(plan.new(), "WEBP", quality=95))  # no defect
    plan_images(plan)
    plan_duplicates(plan)
    plan_names(plan)
    plan.expect("single_image_class", plan.add("train", "alone", "alone"))
    plan.fill("query", "sought")
    plan.fill("gallery", "sought")
    plan.expect("query_without_positive", *plan.fill("query", "lost"))
    plan.expect("counts")
    plan.expect("left_out_image")
    plan.expect("left_out_file")
    dataset = plan.dataset()
    official = {"train": (1, 1), "query": (4, 2), "gallery": (len(dataset["gallery"]), 1)}
    return dataset, plan.expected, official


@pytest.fixture(scope="module")
def examined():
    dataset, expected, official = planted()
    report = examine(
        dataset,
        name="planted",
        official_counts=official,
        left_out=LEFT_OUT,
        settings=Settings(max_megapixels=1.0),
        progress=False,
    )
    return dataset, expected, report


def test_each_is_found_and_nothing_else(examined):
    _, expected, report = examined
    found = [(one.kind, frozenset(image.image_id for image in one.images)) for one in report.findings]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert {kind for kind, _ in found} == set(KINDS) - ELSEWHERE


def test_the_reasons_of_unreadable_images(examined):
    details = {one.images[0].image_id: one.detail for one in examined[2].findings if one.kind == "unreadable"}
    assert details["strip.jpg"] == "expected sides of at most 50 to 1; got 2000 x 33 pixels. Crop the image"
    assert "truncated" in details["cut.jpg"]
    assert not any("0x" in detail for detail in details.values())


def test_a_level_of_views_is_found_and_nothing_else():
    plan = Plan()
    for view in ("front", "back", "side", "top"):
        plan.fill("train", view, 3)
        plan.fill("query", view, 2)
        plan.fill("gallery", view, 2)
    [finding] = examine(plan.dataset(), progress=False).findings
    assert (finding.kind, finding.images) == ("class_level", ())
    assert finding.detail == (
        "the 4 classes look like views or parts of a collection: 'front' (7 images), 'back' (7 images), 'side' "
        "(7 images), 'top' (7 images)"
    )


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_into_a_window(examined, tmp_path, width):
    dataset, _, report = examined
    _, page = write_report(report, dataset, tmp_path)
    with running_chromium(tmp_path / "profile") as browser:
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.open(page.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelectorAll('section').length > 20")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        text = browser.text()
        assert browser.evaluate("[...document.images].filter(one => !one.naturalWidth).length") == 0
    for kind in set(KINDS) - ELSEWHERE:
        assert KINDS[kind].title in text
    for name in ("'Shoe' (2 images)", "'shoe ' (2 images)", "'cafe\\u0301' (2 images)", "'-1' (2 images)"):
        assert name in text
