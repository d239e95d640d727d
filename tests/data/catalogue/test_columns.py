"""Labels that are certainly missing are refused with their rows, also those of a prepared folder."""

import io

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PilImage

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.preparation.prepare import prepare_dataset

NAMES = ClassLabel(names=["a", "b"])


def make_split(labels, feature):
    """Make a split of one image a label."""
    images = []
    for seed in range(len(labels)):
        stream = io.BytesIO()
        values = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        PilImage.fromarray(values).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    features = Features(image=Image(), label=feature, image_id=Value("string"))
    ids = [f"id{row}" for row in range(len(labels))]
    return Dataset.from_dict({"image": images, "label": labels, "image_id": ids}, features=features)


@pytest.mark.parametrize(
    ("labels", "feature"),
    [
        (["a", None, "b", "a"], Value("string")),
        (["a", "", "b", "a"], Value("string")),
        (["a", " \t\u00a0", "b", "a"], Value("large_string")),
        ([0, None, 1, 0], Value("int32")),
        ([0, -1, 1, 0], NAMES),
        ([0, None, 1, 0], NAMES),
        ([1.0, float("nan"), 1.0, 2.0], Value("float64")),
    ],
)
def test_missing_labels_are_refused(tmp_path, labels, feature):
    make_split(labels, feature).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"column 'label' is null in 1 rows: 1\. Give each image a class"):
        load_retrieval_dataset("catalogue", tmp_path / "saved", test_fraction=0)


def test_a_prepared_folder_keeps_no_missing_label(tmp_path):
    """A prepared folder keeps its labels as they are, so that -1 would be read as the last class."""
    splits = {"train": make_split([0, -1, 1, 0], NAMES)}
    folder = prepare_dataset(splits, tmp_path / "prepared", progress=False)
    with pytest.raises(ValueError, match=r"label is null in rows 1; give each row a label"):
        load_retrieval_dataset("catalogue", folder, test_fraction=0)


@pytest.mark.parametrize(
    ("labels", "feature", "names"),
    [([-1, 5, 5, -1], Value("int64"), ["-1", "5"]), (["nan", "b", "b", "nan"], Value("string"), ["b", "nan"])],
)
def test_labels_that_may_be_classes_are_kept(tmp_path, labels, feature, names):
    """The doctor reports them."""
    make_split(labels, feature).save_to_disk(tmp_path / "saved")
    loaded = load_retrieval_dataset("catalogue", tmp_path / "saved", test_fraction=0)
    assert loaded["train"].features["label"].names == names
