"""The icons data set: the same bytes each time, no drawing twice, plausible concepts, and the cache."""

import io
import multiprocessing
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Image
from PIL import Image as PilImage
from PIL import ImageDraw

from hf_vitret.data import check_images, describe_split, load_retrieval_dataset
from hf_vitret.data.demo.icon_fonts import ICON_FONTS, Glyph, draw_glyphs
from hf_vitret.data.demo.icons import drop_equal, group_by_concept, jitter

FONTS = ("fa5", "fa6", "msc", "ei")  # about 1,100 icons: drawn in a second
OPTIONS = {"fonts": FONTS, "size": 32}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("icons")


@pytest.fixture
def icons(cache_dir):
    return load_retrieval_dataset("icons", cache_dir=cache_dir, **OPTIONS)


def read_bytes(dataset):
    """Return the PNG bytes of each image_id, over both splits."""
    found = {}
    for split in dataset.values():
        for row in split.cast_column("image", Image(decode=False)):
            found[row["image_id"]] = row["image"]["bytes"]
    return found


def make_glyph(font, name, code_point, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    return Glyph(font, name, code_point, PilImage.fromarray(noise))


def test_it_is_a_few_shot_class_disjoint_set(icons):
    train, test = (describe_split(icons[name]) for name in ("train", "test"))
    assert train["min_images_per_class"] >= 2
    assert test["min_images_per_class"] >= 2
    assert test["num_classes"] == (train["num_classes"] + test["num_classes"]) // 2
    assert not set(icons["train"]["label"]) & set(icons["test"]["label"])
    assert icons["train"].features == icons["test"].features


def test_images_are_black_on_white_and_all_readable(icons):
    for split in icons.values():
        check_images(split)
        for image in split["image"]:
            values = np.asarray(image)
            assert values.shape == (32, 32)
            assert values.max() == 255
            assert values.min() < 128
            assert values.mean() > 100


def test_label_names_are_concepts_without_style(icons):
    names = icons["train"].features["label"].names
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert not [name for name in names if name.endswith(("-alt", "-outline", "-filled"))]
    assert {"bell", "heart", "star"} <= set(names)


def test_every_font_is_in_it(icons):
    fonts = Counter(image_id.split(".")[0] for split in icons.values() for image_id in split["image_id"])
    assert set(fonts) == set(FONTS)


def test_drawing_again_gives_the_same_bytes(icons, tmp_path):
    again = load_retrieval_dataset("icons", cache_dir=tmp_path, **{**OPTIONS, "fonts": FONTS[::-1]})
    assert read_bytes(again) == read_bytes(icons)
    assert [split["label"][:] for split in again.values()] == [split["label"][:] for split in icons.values()]


def test_no_two_images_of_a_class_are_the_same(icons):
    for split in icons.values():
        seen = Counter((row["label"], row["image"].tobytes()) for row in split)
        assert max(seen.values()) == 1


def test_no_drawing_serves_two_concepts():
    glyphs = [glyph for font in FONTS for glyph in draw_glyphs(font, 64)]
    owners = {}
    for concept, members in group_by_concept(glyphs).items():
        for glyph in members:
            assert owners.setdefault(glyph.ink.tobytes(), concept) == concept
    assert len({glyph.ink.tobytes() for glyph in glyphs}) > len(owners)  # re-drawn ones of fa6 were merged


def test_the_cache_is_used_and_keyed_by_the_options(icons, cache_dir, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.data.demo.icons.render_icons", lambda *args: pytest.fail("drawn again"))
        other_seed = load_retrieval_dataset("icons", cache_dir=cache_dir, seed=1, **OPTIONS)
    assert set(other_seed["test"]["label"]) != set(icons["test"]["label"])
    assert read_bytes(other_seed) == read_bytes(icons)
    larger = load_retrieval_dataset("icons", cache_dir=cache_dir, fonts=("fa5", "fa6"), size=48)
    assert larger["train"][0]["image"].size == (48, 48)
    monkeypatch.setattr("hf_vitret.data.demo.icons.find_fonts_version", lambda: "99")
    monkeypatch.setattr(
        "hf_vitret.data.demo.icons.render_icons", lambda *args: pytest.fail("drawn for the new version")
    )
    with pytest.raises(pytest.fail.Exception, match="drawn for the new version"):
        load_retrieval_dataset("icons", cache_dir=cache_dir, **OPTIONS)


def test_the_size_does_not_change_the_set(icons, tmp_path):
    small = load_retrieval_dataset("icons", cache_dir=tmp_path, fonts=FONTS, size=16)
    assert {name: split["image_id"][:] for name, split in small.items()} == {
        name: split["image_id"][:] for name, split in icons.items()
    }


def test_an_interrupted_drawing_leaves_no_cache_file(tmp_path, monkeypatch):
    def interrupt(self, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("datasets.Dataset.to_parquet", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_retrieval_dataset("icons", cache_dir=tmp_path, fonts=("fa5", "fa6"), size=16)
    assert list(tmp_path.iterdir()) == []
    assert load_retrieval_dataset("icons", cache_dir=tmp_path, fonts=("fa5", "fa6"), size=16)


def test_the_default_cache_is_that_of_datasets(tmp_path):
    load_retrieval_dataset("icons", fonts=("fa5", "fa6"), size=16)
    assert len(list((tmp_path / "hf-cache" / "hf_vitret_icons").glob("icons-*.parquet"))) == 1


def test_more_drawings_a_concept(cache_dir):
    icons = load_retrieval_dataset("icons", cache_dir=cache_dir, min_drawings=4, **OPTIONS)
    assert min(describe_split(split)["min_images_per_class"] for split in icons.values()) >= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_dir": "here"}, "expected no data_dir for the icons data set, got .here"),
        ({"size": 8}, "expected size >= 16 and min_drawings >= 2, got 8 and 2"),
        ({"min_drawings": 1}, "expected size >= 16 and min_drawings >= 2, got 112 and 1"),
        ({"fonts": ("fa5", "fa4")}, r"unknown icon fonts \['fa4'\]: choose some of fa5, "),
        ({"fonts": ()}, r"unknown icon fonts \[\]"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        load_retrieval_dataset("icons", **options)


# --- concepts


def test_words_in_another_order_and_renamed_code_points_are_one_concept():
    glyphs = [
        make_glyph("fa5s", "check-circle", 1, 1),
        make_glyph("fa5s", "home", 2, 2),
        make_glyph("fa6s", "circle-check", 1, 3),
        make_glyph("fa6s", "house", 2, 4),
        make_glyph("ph", "house-bold", 2, 5),  # the code points of another family mean nothing
        make_glyph("ri", "home-line", 9, 6),
        make_glyph("ph", "check-circle", 1, 7),
        make_glyph("ph", "x", 3, 8),
        make_glyph("mdi5", "amazon", 4, 10),  # Material Design Icons gave this code point to another icon
        make_glyph("mdi6", "greenhouse", 4, 11),
        make_glyph("ri", "star-fill", 3, 9),
    ]
    found = {concept: {glyph.name for glyph in members} for concept, members in group_by_concept(glyphs).items()}
    assert found == {
        "check-circle": {"check-circle", "circle-check"},
        "home": {"home", "house", "house-bold", "home-line"},
        "x": {"x"},
        "amazon": {"amazon"},
        "greenhouse": {"greenhouse"},
        "star": {"star-fill"},
    }


def test_aliases_of_one_font_do_not_merge_and_the_drawing_goes_to_the_larger_concept():
    shared = make_glyph("msc", "add", 1, 1)
    glyphs = [
        shared,
        Glyph("msc", "gist-new", 1, shared.ink),
        make_glyph("ph", "add", 5, 2),
        make_glyph("ph", "gist-new", 6, 3),
    ]
    glyphs.append(make_glyph("ri", "add-line", 7, 4))
    found = {concept: [g.font for g in members] for concept, members in group_by_concept(glyphs).items()}
    assert found == {"add": ["msc", "ph", "ri"], "gist-new": ["ph"]}


def test_equal_drawings_are_dropped_whatever_their_place_and_size():
    def draw(box, hole=None):
        image = PilImage.new("L", (64, 64), 0)
        pen = ImageDraw.Draw(image)
        pen.rectangle(box, fill=255)
        if hole:
            pen.rectangle(hole, fill=0)
        return Glyph("ph", "box", 1, image)

    square, moved, smaller = draw((10, 10, 49, 49)), draw((20, 5, 59, 44)), draw((10, 10, 29, 29))
    hollow, wide = draw((10, 10, 49, 49), (20, 20, 39, 39)), draw((2, 20, 61, 39))
    assert drop_equal([square, moved, smaller, hollow, wide]) == [square, hollow, wide]


# --- jitter


def test_jitter_depends_on_the_id_alone_and_keeps_the_icon_whole():
    ink = next(draw_glyphs("ph", 64, {"house"})).ink
    assert jitter(ink, "a", 32).tobytes() == jitter(ink.copy(), "a", 32).tobytes()
    assert len({jitter(ink, str(i), 32).tobytes() for i in range(20)}) == 20
    plain = 255.0 - np.asarray(jitter(ink, "a", 32))
    for i in range(20):
        moved = 255.0 - np.asarray(jitter(ink, str(i), 32))
        assert 0.5 < moved.sum() / plain.sum() < 2  # scales between 0.8 and 1.0 change an area by 1.56 at most
        assert moved[0].max() == moved[-1].max() == moved[:, 0].max() == moved[:, -1].max() == 0


def test_jitter_is_the_same_in_another_process():
    """The jitter is the same in every process, unlike `hash` of a text."""
    ink = next(draw_glyphs("ph", 64, {"house"})).ink
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.apply(jitter, (ink, "ph.house", 32))
    assert elsewhere.tobytes() == jitter(ink, "ph.house", 32).tobytes()


def test_a_png_of_the_set_is_what_jitter_draws(icons):
    image_id, png = next(iter(read_bytes(icons).items()))
    font, name = image_id.split(".")
    ink = next(draw_glyphs(font, 64, {name})).ink
    assert PilImage.open(io.BytesIO(png)).tobytes() == jitter(ink, image_id, 32).tobytes()
    assert font in ICON_FONTS
