"""The kinds of findings of the doctor, each with its severity, title and advice."""

from __future__ import annotations

from typing import NamedTuple

# Most serious first. An error breaks training or makes scores wrong, and a warning probably does harm. A note concerns
# images that this package can handle, but that other tools may not handle, or that add nothing to the data set.
SEVERITIES = ("error", "warning", "note")
# Where the images of a group of duplicates are, most serious first.
SCOPES = ("across_splits", "across_classes", "inside_class")


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: One of `SEVERITIES`.
        title: A few words, for tables and headings.
        advice: What to do about the finding, in a sentence or two.
    """

    severity: str
    title: str
    advice: str


KINDS: dict[str, Kind] = {
    "counts": Kind(
        "error",
        "counts that differ from the official ones",
        "Extract the official archive again: scores on other images cannot be compared with published ones.",
    ),
    "unreadable": Kind(
        "error",
        "images that cannot be read",
        "Replace or remove these files, or train with --on_bad_image skip; mend completes truncated JPEG files.",
    ),
    "left_out_image": Kind(
        "error",
        "files that look like images and are not used",
        "Make them usable as described, or move them away: nothing is trained or measured on them.",
    ),
    "giant": Kind(
        "warning",
        "giant images",
        "Make them smaller (hf-vitret prepare): they cost memory and time, and Pillow refuses images above twice its "
        "limit as decompression bombs. They were not decoded here, and were searched for equal files only.",
    ),
    "tiny": Kind("warning", "tiny images", "Check whether they are thumbnails or placeholders of lost images."),
    "blank": Kind("warning", "blank images", "Remove images of a single colour: no model can distinguish them."),
    "single_image_class": Kind(
        "warning",
        "classes of one image",
        "Such a class has no positive pair: its image is only a negative in training, and a query without a correct "
        "answer in testing. Add images, or leave the class out.",
    ),
    "query_without_positive": Kind(
        "warning",
        "queries with no image of their class in the gallery",
        "Such a query has no correct answer, and every model fails on it. Add gallery images, or leave the query out.",
    ),
    "class_name_variants": Kind(
        "warning",
        "class names that differ only in case, spaces or Unicode form",
        "Give them one name if they are one class: now their images are negatives of each other.",
    ),
    "placeholder_class": Kind(
        "warning",
        "classes whose name stands for a missing label",
        "Leave these images out, or give each its class: now all of them are positives of each other.",
    ),
    "class_level": Kind(
        "warning",
        "class names that look like views, shards or splits",
        "Check which folder level or column holds the class: images of different objects may be in one class.",
    ),
    "repeated_class_folder": Kind(
        "warning",
        "class folders of one name in several folders",
        "Their images are one class now. If the folder above is the class, choose that level, or use a table.",
    ),
    "mislabelled": Kind(
        "warning",
        "images that are probably in the wrong class",
        "Check each of them: most of its nearest images by embedding are of one other class.",
    ),
    "similar_class_names": Kind(
        "note",
        "class names that differ by one letter or separator",
        "Check whether one of them is a typing error, and give them one name if they are one class.",
    ),
    "left_out_file": Kind(
        "note", "files that are not used", "Check that they are no part of the data; nothing reads them."
    ),
    "cmyk": Kind("note", "CMYK images", "Converted to sRGB by their colour profile; without one, check the colours."),
    "color_profile": Kind(
        "note",
        "images with a colour profile that is not sRGB",
        "Converted to sRGB, as viewers show them; other tools may ignore the profile.",
    ),
    "palette": Kind("note", "palette images", "Converted to RGB; they have at most 256 colours."),
    "sixteen_bit": Kind("note", "images of more than 8 bits", "Scaled to 8 bits; other tools clip them to white."),
    "other_mode": Kind("note", "images of a rare mode", "Converted to RGB; other tools may refuse them."),
    "animated": Kind("note", "images of several frames", "Only the first frame is used."),
    "exif_rotated": Kind(
        "note", "images rotated by EXIF", "Rotated upright here; other tools may ignore the orientation."
    ),
    "same_file:across_splits": Kind(
        "error",
        "the same file in several splits (leakage)",
        "Keep it in one split only, preferably not the training split: scores on training images do not measure "
        "generalisation.",
    ),
    "same_file:across_classes": Kind(
        "error", "the same file in several classes", "Correct the wrong label, or merge the classes."
    ),
    "same_file:inside_class": Kind("note", "the same file twice in a class", "Keep one: a copy is a trivial positive."),
    "same_pixels:across_splits": Kind(
        "error",
        "the same picture, saved differently, in several splits (leakage)",
        "Keep it in one split only, preferably not the training split: scores on training images do not measure "
        "generalisation.",
    ),
    "same_pixels:across_classes": Kind(
        "error",
        "the same picture, saved differently, in several classes",
        "Correct the wrong label, or merge the classes.",
    ),
    "same_pixels:inside_class": Kind(
        "note", "the same picture, saved differently, in a class", "Keep one: a copy is a trivial positive."
    ),
    "near_duplicate:across_splits": Kind(
        "warning",
        "near duplicates in several splits (leakage)",
        "Check them: resized or recompressed copies should be in one split.",
    ),
    "near_duplicate:across_classes": Kind(
        "warning",
        "near duplicates in several classes",
        "Check them: copies of one picture should be in one class. Products that differ in a detail are correct.",
    ),
    "near_duplicate:inside_class": Kind(
        "note", "near duplicates in a class", "Keep one of each if the class has enough other images."
    ),
    "similar_embedding:across_splits": Kind(
        "warning",
        "images with nearly equal embeddings in several splits",
        "Check whether they show the same photograph.",
    ),
    "similar_embedding:across_classes": Kind(
        "warning", "images with nearly equal embeddings in several classes", "Check whether one of the labels is wrong."
    ),
    "similar_embedding:inside_class": Kind(
        "note", "images with nearly equal embeddings in a class", "Check whether they show the same photograph."
    ),
}
