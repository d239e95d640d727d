"""`datasets` itself pushes to the stand-in and loads from it: whole, as a stream, and what is private."""

import json

from .stand_in import HubStandIn

PUSH = """
import io, sys
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
def png(shade):
    stream = io.BytesIO()
    PILImage.new("RGB", (4, 4), (shade, 0, 0)).save(stream, "PNG")
    return stream.getvalue()
features = Features(image=Image(), label=ClassLabel(names=["cup", "mug"]), image_id=Value("string"))
rows = {"image": [{"bytes": png(row), "path": None} for row in range(20)], "label": [row % 2 for row in range(20)],
        "image_id": [f"image-{row}" for row in range(20)]}
data = Dataset.from_dict(rows, features=features)
data.push_to_hub("ada/cups", private=sys.argv[1] == "private", num_shards=3)
data.select(range(5)).push_to_hub("ada/cups", split="test")
"""
LOAD = """
import json
from datasets import load_dataset
whole = load_dataset("ada/cups")
stream = load_dataset("ada/cups", streaming=True)
def described(split):
    return [[row["image"].getpixel((0, 0))[0], row["label"], row["image_id"]] for row in split]
print(json.dumps({
    "whole": {name: described(split) for name, split in whole.items()},
    "stream": {name: described(split) for name, split in stream.items()},
    "names": whole["train"].features["label"].names,
    "shards": stream["train"].num_shards,
}))
"""


def test_a_data_set_pushed_is_loaded_whole_and_as_a_stream(hub: HubStandIn) -> None:
    hub.run(PUSH, "public", token=hub.token)
    said = json.loads(hub.run(LOAD).stdout)
    rows = [[row, row % 2, f"image-{row}"] for row in range(20)]
    assert said["whole"] == {"train": rows, "test": rows[:5]}
    assert said["stream"] == said["whole"]
    assert said["names"] == ["cup", "mug"]
    assert said["shards"] == 3
    assert "" not in hub.num_requests()


def test_a_private_data_set_needs_its_owners_token(hub: HubStandIn) -> None:
    hub.run(PUSH, "private", token=hub.token)
    assert json.loads(hub.run(LOAD, token=hub.token).stdout)["names"] == ["cup", "mug"]
    refused = hub.run(LOAD, check=False)
    assert refused.returncode == 1
    assert "Dataset 'ada/cups' doesn't exist on the Hub or cannot be accessed" in refused.stderr
