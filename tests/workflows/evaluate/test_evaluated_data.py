"""The images of an evaluation: all splits but the training split, checked or trusted."""

import pytest
from datasets import Dataset, DatasetDict, Image
from PIL import Image as PILImage

from hf_vitret.workflows.evaluate.evaluated_data import evaluated_data


@pytest.fixture
def rows(tmp_path):
    """Make a function that writes images, of which some are damaged, and returns them as a split."""

    def make(name, num_images, damaged=()):
        paths = []
        for number in range(num_images):
            path = tmp_path / f"{name}-{number}.png"
            PILImage.new("RGB", (8, 8), (number, 0, 0)).save(path)
            if number in damaged:
                path.write_bytes(path.read_bytes()[:40])
            paths.append(str(path))
        content = {
            "image": paths,
            "label": list(range(num_images)),
            "image_id": [f"{name}-{n}" for n in range(num_images)],
        }
        return Dataset.from_dict(content).cast_column("image", Image())

    return make


def test_the_training_split_is_left_out_and_not_read(rows):
    data = DatasetDict(train=rows("train", 2, damaged=(0,)), query=rows("query", 2), gallery=rows("gallery", 3))
    said = []
    found, *unreadable = evaluated_data(data, say=said.append)
    assert {name: split["image_id"][:] for name, split in found.items()} == {
        "query": ["query-0", "query-1"],
        "gallery": ["gallery-0", "gallery-1", "gallery-2"],
    }
    assert unreadable == [{}, {}]
    assert said == ["Reading each image once ..."]


def test_unreadable_images_stop_it_or_are_counted(rows):
    data = DatasetDict(train=rows("train", 2), test=rows("test", 4, damaged=(1, 3)))
    with pytest.raises(ValueError, match="test-1"):
        evaluated_data(data, say=list)
    found, left_out, mended = evaluated_data(data, on_bad_image="skip", say=list)
    assert found["test"]["image_id"][:] == ["test-0", "test-2"]
    assert {split: [image.row for image in images] for split, images in left_out.items()} == {"test": [1, 3]}
    assert mended == {}


def test_trusted_images_are_not_read(rows):
    said = []
    found, *unreadable = evaluated_data(
        DatasetDict(test=rows("test", 2, damaged=(0,))), is_trusted=True, say=said.append
    )
    assert len(found["test"]) == 2
    assert unreadable == [{}, {}]
    assert said == []


def test_only_a_training_split(rows):
    with pytest.raises(ValueError, match=r"expected images to test on.*--test_fraction 0"):
        evaluated_data(DatasetDict(train=rows("train", 2)))
