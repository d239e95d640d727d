"""What the doctor looks for: every kind of finding, how much it matters and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

# Most serious first. An error spoils training or makes scores wrong; a warning probably does harm; a note is about
# images that the package handles, but that other tools may not, or that are of no use.
SEVERITIES = ("error", "warning", "note")
# Where the images of a group of duplicates are, the most serious first.
SCOPES = ("across_splits", "across_classes", "inside_class")


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: One of `SEVERITIES`.
        title: A few words, for tables and headings.
        advice: What to do about it, in a sentence or two.
    """

    severity: str
    title: str
    advice: str


KINDS: dict[str, Kind] = {
    "counts": Kind(
        "error",
        "counts that are not the official ones",
        "Extract the official archive again: scores on a part of a data set compare with nobody's.",
    ),
    "unreadable": Kind(
        "error",
        "images that cannot be read",
        "Replace or remove these files, or train with --on_bad_image skip.",
    ),
    "giant": Kind(
        "warning",
        "giant images",
        "Make them smaller (hf-vitret prepare): they cost memory and time, and Pillow refuses twice its own limit as a "
        "decompression bomb. They were not decoded here, so their duplicates were sought by file only.",
    ),
    "tiny": Kind("warning", "tiny images", "Look whether they are thumbnails or placeholders of lost images."),
    "blank": Kind("warning", "blank images", "Remove images that show nothing: no model can tell them apart."),
    "single_image_class": Kind(
        "warning",
        "classes of one image",
        "Such a class has no positive pair: in training it serves as negatives only, in testing its query cannot be "
        "answered. Add images, or leave the class out.",
    ),
    "query_without_positive": Kind(
        "warning",
        "queries with no image of their class in the gallery",
        "Such a query cannot be answered, and no model scores on it. Add gallery images, or leave it out.",
    ),
    "mislabelled": Kind(
        "warning",
        "images that are probably in the wrong class",
        "Look at each: most of its nearest images, by the model, are of one other class.",
    ),
    "cmyk": Kind("note", "CMYK images", "Converted to RGB without their colour profile: look at the colours."),
    "palette": Kind("note", "palette images", "Converted to RGB; they hold 256 colours at most."),
    "sixteen_bit": Kind("note", "images of more than 8 bits", "Scaled to 8 bits; other tools clip them to white."),
    "other_mode": Kind("note", "images of a rare mode", "Converted to RGB; other tools may refuse them."),
    "animated": Kind("note", "images of several frames", "Only the first frame is used."),
    "exif_rotated": Kind("note", "images turned by EXIF", "Turned upright here; other tools may show them lying."),
    "same_file:across_splits": Kind(
        "error",
        "the same file in several splits (leakage)",
        "Remove it from one of them, rather from the training split: the score on it measures memory.",
    ),
    "same_file:across_classes": Kind(
        "error", "the same file in several classes", "One of the labels is wrong, or the classes are one."
    ),
    "same_file:inside_class": Kind("note", "the same file twice in a class", "Keep one: a copy is a free positive."),
    "same_pixels:across_splits": Kind(
        "error",
        "the same picture, saved differently, in several splits (leakage)",
        "Remove it from one of them, rather from the training split: the score on it measures memory.",
    ),
    "same_pixels:across_classes": Kind(
        "error",
        "the same picture, saved differently, in several classes",
        "One of the labels is wrong, or the classes are one.",
    ),
    "same_pixels:inside_class": Kind(
        "note", "the same picture, saved differently, in a class", "Keep one: a copy is a free positive."
    ),
    "near_duplicate:across_splits": Kind(
        "warning",
        "near duplicates in several splits (leakage)",
        "Look at them: resized or recompressed copies belong in one split.",
    ),
    "near_duplicate:across_classes": Kind(
        "warning",
        "near duplicates in several classes",
        "Look at them: copies of one picture belong in one class. Products that differ in a detail are as they should "
        "be.",
    ),
    "near_duplicate:inside_class": Kind(
        "note", "near duplicates in a class", "Keep one of each if the class has enough others."
    ),
    "similar_embedding:across_splits": Kind(
        "warning", "images that the model takes for one, in several splits", "Look whether they are one photograph."
    ),
    "similar_embedding:across_classes": Kind(
        "warning", "images that the model takes for one, in several classes", "Look whether one of the labels is wrong."
    ),
    "similar_embedding:inside_class": Kind(
        "note", "images that the model takes for one, in a class", "Look whether they are one photograph."
    ),
}
