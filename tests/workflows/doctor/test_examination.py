"""All planted defects of a data set are found, and no others."""

import dataclasses
import io

import numpy as np
import pytest
from datasets import DatasetDict, concatenate_datasets
from PIL import Image as PilImage

from hf_vitret.workflows.doctor import Settings, examine
from hf_vitret.workflows.doctor.checks import image_facts

from .pictures import clean_dataset, encode, make_split, picture


def found_in(dataset, **options):
    """Examine a data set, and return the findings as tuples of the kind and the ids of the images."""
    report = examine(dataset, progress=False, **options)
    found = [(finding.kind, *(image.image_id for image in finding.images)) for finding in report.findings]
    assert len(found) == len(set(found))
    return set(found)


def with_rows(dataset, **rows):
    """Add rows `(content, class, image_id)` to the named splits."""
    names = ("cup", "pot", "jug", "lid")
    return DatasetDict(
        {
            name: concatenate_datasets([split, make_split(rows[name], names)]) if name in rows else split
            for name, split in dataset.items()
        }
    )


@pytest.fixture(scope="module")
def clean():
    return clean_dataset()


PLAIN = picture(7, (300, 220))
PNG, BMP = encode(PLAIN), encode(PLAIN, "BMP")
SMALLER, COARSER = encode(PLAIN.resize((150, 110))), encode(PLAIN, "JPEG", quality=50)


def test_a_clean_data_set_has_no_findings(clean):
    assert found_in(clean) == set()
    assert found_in(clean, official_counts={"train": (6, 2), "test": (6, 2)}) == set()


def test_without_class_names():
    rows = [(encode(picture(seed)), 40 + seed // 2, f"id{seed}") for seed in range(4)]
    dataset = DatasetDict(train=make_split(rows[:3], None), test=make_split([*rows[2:], (PNG, 41, "x")], None))
    report = examine(dataset, progress=False)
    found = [(finding.kind, [tuple(image) for image in finding.images]) for finding in report.findings]
    assert found == [
        ("same_file:across_splits", [("train", 2, "id2", "41"), ("test", 0, "id2", "41")]),
        ("single_image_class", [("train", 2, "id2", "41")]),
    ]


@pytest.mark.parametrize(
    ("other", "alike"),
    [(PNG, "same_file"), (BMP, "same_pixels"), (SMALLER, "near_duplicate"), (COARSER, "near_duplicate")],
)
@pytest.mark.parametrize(
    ("split", "label", "where"),
    [("train", 0, "inside_class"), ("train", 1, "across_classes"), ("test", 2, "across_splits")],
)
def test_a_pair_of_duplicates(clean, other, alike, split, label, where):
    rows = {"train": [(PNG, 0, "one")]}
    rows.setdefault(split, []).append((other, label, "two"))
    assert found_in(with_rows(clean, **rows)) == {(f"{alike}:{where}", "one", "two")}


def test_query_and_gallery_share_a_class_but_no_picture(clean):
    pictures = [encode(picture(seed)) for seed in range(2000, 2004)]
    names = ("cup", "pot", "jug", "lid")
    query = make_split([(pictures[0], 2, "q0"), (pictures[1], 3, "q1"), (PNG, 2, "q2")], names)
    gallery = make_split([(pictures[2], 2, "g0"), (pictures[3], 3, "g1"), (COARSER, 2, "g2")], names)
    dataset = DatasetDict(train=clean["train"], query=query, gallery=gallery)
    assert found_in(dataset) == {("near_duplicate:across_splits", "q2", "g2")}


def test_groups_of_several_kinds_name_each_image_once_a_kind(clean):
    rows = [(PNG, 0, "a"), (PNG, 0, "b"), (BMP, 1, "c"), (BMP, 1, "d"), (COARSER, 0, "e")]
    dataset = with_rows(clean, train=rows, test=[(SMALLER, 2, "f")])
    assert found_in(dataset) == {
        ("same_file:inside_class", "a", "b"),
        ("same_file:inside_class", "c", "d"),
        ("same_pixels:across_classes", "a", "b", "c", "d"),
        ("near_duplicate:across_splits", "a", "b", "c", "d", "e", "f"),
    }


def test_a_jpeg_and_what_it_decodes_to_have_the_same_pixels(clean):
    content = encode(PLAIN, "JPEG", quality=90)
    decoded = PilImage.open(io.BytesIO(content)).convert("RGB")
    dataset = with_rows(clean, train=[(content, 0, "jpeg"), (encode(decoded), 0, "png")])
    assert found_in(dataset) == {("same_pixels:inside_class", "jpeg", "png")}


def test_one_pixel_is_a_difference(clean):
    changed = PLAIN.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    dataset = with_rows(clean, train=[(PNG, 0, "one"), (encode(changed), 0, "two")])
    assert found_in(dataset) == {("near_duplicate:inside_class", "one", "two")}


def test_blank_images_are_compared_by_pixels_only(clean):
    def plain(colour, file_format):
        return encode(PilImage.new("RGB", (64, 64), colour), file_format)

    rows = [(plain((9, 9, 9), "PNG"), 0, "a"), (plain((9, 9, 9), "BMP"), 0, "b"), (plain((200, 9, 9), "PNG"), 0, "c")]
    assert found_in(with_rows(clean, train=rows)) == {
        *(("blank", image_id) for image_id in "abc"),
        ("same_pixels:inside_class", "a", "b"),
    }


def test_faint_patterns_are_no_near_duplicates(clean):
    """Images with the same faint noise on plain backgrounds, as JPEG leaves it, are blank and no near duplicates."""
    noise = np.random.default_rng(0).integers(-2, 3, (32, 32))
    rows = [
        (encode(PilImage.fromarray((shade + noise).astype(np.uint8))), 0, f"shade {shade}") for shade in (200, 210, 220)
    ]
    assert found_in(with_rows(clean, train=rows)) == {("blank", image_id) for _, _, image_id in rows}


def test_a_flood_of_blank_images_is_one_group(clean):
    content = encode(PilImage.new("RGB", (64, 64), "white"), "JPEG")
    rows = [(content, 0, f"blank{number}") for number in range(3000)]
    found = found_in(with_rows(clean, train=rows))
    assert found == {
        *(("blank", image_id) for _, _, image_id in rows),
        ("same_file:inside_class", *(image_id for _, _, image_id in rows)),
    }


def test_bad_files_are_named_and_take_no_part_in_duplicates(clean):
    rows = [
        (None, 0, "null"),
        (b"", 0, "empty"),
        (b"", 0, "empty too"),
        (PNG[:500], 0, "cut"),
        (PNG[:500], 1, "cut too"),
        (encode(picture(3, (30, 30))), 1, "tiny"),
    ]
    dataset = with_rows(clean, train=rows)
    expected = {("unreadable", image_id) for _, _, image_id in rows[:5]} | {("tiny", "tiny")}
    assert found_in(dataset) == expected


def test_giant_images_are_compared_by_file_and_never_decoded(clean, monkeypatch):
    decoded = []
    monkeypatch.setattr(image_facts, "to_rgb", lambda image: decoded.append(image.size) or image.convert("RGB"))
    rows = [(PNG, 0, "one"), (PNG, 1, "two"), (BMP, 1, "three")]
    found = found_in(with_rows(clean, train=rows), settings=Settings(max_megapixels=0.05))
    assert found == {
        *(("giant", image_id) for image_id in ("one", "two", "three")),
        ("same_file:across_classes", "one", "two"),
    }
    assert decoded == [(96, 80)] * 12


def test_odd_modes(clean):
    frames = {"save_all": True, "append_images": [picture(12)]}
    exif = PilImage.Exif()
    exif[0x0112] = 6
    rows = [
        (encode(picture(10).convert("CMYK"), "JPEG"), 0, "cmyk"),
        (encode(picture(11), "WEBP", **frames), 0, "animated"),
        (encode(picture(13), "JPEG", exif=exif), 1, "exif_rotated"),
        (encode(picture(14).convert("P")), 1, "palette"),
    ]
    assert found_in(with_rows(clean, train=rows)) == {(image_id, image_id) for _, _, image_id in rows}


def test_a_copy_turned_by_exif_is_a_duplicate(clean):
    exif = PilImage.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    rotated = encode(PLAIN.transpose(PilImage.Transpose.ROTATE_90), exif=exif)
    dataset = with_rows(clean, train=[(PNG, 0, "upright"), (rotated, 0, "rotated")])
    assert found_in(dataset) == {("exif_rotated", "rotated"), ("same_pixels:inside_class", "upright", "rotated")}


@pytest.mark.parametrize("num_threads", [1, 4])
def test_the_report_does_not_depend_on_the_threads(clean, num_threads):
    rows = [(PNG, 0, "a"), (BMP, 1, "b"), (b"", 1, "c"), (COARSER, 0, "d")]
    dataset = with_rows(clean, train=rows)
    report = examine(dataset, progress=False, num_threads=num_threads)
    assert report == examine(dataset, progress=False)


def test_counts_and_classes_of_one_image(clean):
    dataset = with_rows(clean, test=[(PNG, 0, "alone")])
    report = examine(dataset, name="ours", official_counts={"train": (6, 2), "test": (6, 2)}, progress=False)
    assert [tuple(row) for row in report.counts] == [("train", 6, 2, 6, 2), ("test", 7, 3, 6, 2)]
    wrong, single = report.findings
    assert (wrong.kind, wrong.split, wrong.images) == ("counts", "test", ())
    assert wrong.detail == "test: expected 6 images of 2 classes, found 7 of 3"
    assert (single.kind, [tuple(image) for image in single.images]) == (
        "single_image_class",
        [("test", 6, "alone", "cup")],
    )


def test_queries_without_a_positive(clean):
    names = ("cup", "pot", "jug", "lid")
    pictures = [encode(picture(seed)) for seed in range(2000, 2006)]
    query = make_split([(pictures[0], 2, "q0"), (pictures[1], 3, "q1"), (pictures[2], 3, "q2")], names)
    gallery = make_split([(pictures[3], 2, "g0"), (pictures[4], 1, "g1")], names)
    dataset = DatasetDict(train=clean["train"], query=query, gallery=gallery)
    assert found_in(dataset) == {("query_without_positive", "q1", "q2")}


def test_a_model_finds_a_wrong_label_and_turned_copies(tiny_model):
    """Each class is one image with different noise, and one image has the label of the other class."""
    names = ("cup", "pot")

    def grainy(motif, seed):
        return PilImage.blend(picture(motif, (64, 64)), picture(seed, (64, 64)), 0.12)

    rows = [
        (encode(grainy(label, 100 + 10 * label + number)), label, f"{label}/{number}")
        for label in (0, 1)
        for number in range(6)
    ]
    rows = [*((b"", 0, f"lost {number}") for number in range(7)), *rows, (encode(grainy(1, 200)), 0, "wrong")]
    rows += [(encode(PilImage.new("RGB", (64, 64), colour)), 0, colour) for colour in ("white", "black", "red")]
    dataset = DatasetDict(
        train=make_split(rows, names), test=make_split([(PNG, 0, "t0"), (encode(picture(8)), 0, "t1")], names)
    )
    settings = Settings(max_distance=0, min_cosine=1.0)
    report = examine(dataset, model=tiny_model, settings=settings, progress=False)
    assert not [finding for finding in report.findings if finding.kind.startswith("similar_embedding")]
    [mislabelled] = [finding for finding in report.findings if finding.kind == "mislabelled"]
    assert [image.image_id for image in mislabelled.images] == ["wrong"]
    assert mislabelled.detail.startswith("labelled cup; 5 of the 5 nearest images are of class pot (cosine ")
    assert {image.class_name for image in mislabelled.neighbors} == {"pot"}
    assert {image.image_id for image in mislabelled.neighbors} < {image_id for _, label, image_id in rows if label}
    assert report.settings == {**dataclasses.asdict(settings), "has_model": True}


def test_a_model_groups_what_it_takes_for_one(clean, tiny_model):
    mirrored = encode(PLAIN.transpose(PilImage.Transpose.FLIP_LEFT_RIGHT))
    dataset = with_rows(clean, train=[(PNG, 0, "one"), (BMP, 0, "two"), (mirrored, 0, "mirrored")])
    found = found_in(dataset, model=tiny_model, settings=Settings(min_cosine=0.99999))
    # The pair is in a group of a stricter kind, and this model gives the mirrored image another embedding.
    assert ("same_pixels:inside_class", "one", "two") in found
    assert not [kind for kind, *_ in found if kind.startswith("similar_embedding")]
    everything = found_in(dataset, model=tiny_model, settings=Settings(min_cosine=1e-6))
    [group] = [ids for kind, *ids in everything if kind == "similar_embedding:across_splits"]
    assert {"one", "two", "mirrored"} < set(group)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_megapixels": 0}, "max_megapixels must be above 0; got 0"),
        ({"min_side": 0}, "min_side must be at least 1 pixel; got 0"),
        ({"max_distance": 65}, "max_distance must be 0 to 64 bits; got 65"),
        ({"min_correlation": 1.1}, r"min_correlation must be above 0 and at most 1; got 1\.1"),
        ({"min_cosine": 0.0}, r"min_cosine must be above 0 and at most 1; got 0\.0"),
        ({"num_neighbors": 2}, "num_neighbors must be at least 3, so that a majority is meaningful; got 2"),
    ],
)
def test_limits_outside_their_domain(limit, message):
    with pytest.raises(ValueError, match=message):
        Settings(**limit)
