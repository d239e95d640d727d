"""A data set on the Hub as a catalogue, downloaded and streamed: the real client against the Hub stand-in."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_stand_in.faults import CutResponse
from tests.hub_stand_in.stand_in import HubStandIn, running_hub

# 12 classes of text, 12 images each, 240 pixels; 144 images in 4 files, so that a stream crosses files and row groups.
PUSH = """
import io, sys, zlib
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
def jpeg(row):
    stream = io.BytesIO()
    PILImage.linear_gradient("L").rotate(row).resize((320, 240)).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()
rows = {"photo": [{"bytes": jpeg(row), "path": None} for row in range(144)], "extra": list(range(144)),
        "kind of thing": [f"class {row % 12}" for row in range(144)]}
features = Features({"photo": Image(), "extra": Value("int64"), "kind of thing": Value("string")})
data = Dataset.from_dict(rows, features=features)
data.push_to_hub("ada/things", split="fit", num_shards=4)
data.push_to_hub("ada/secrets", split="fit", num_shards=4, private=True)
data.select(range(24)).push_to_hub("ada/secrets", split="held_out")
"""
# A data set on the Hub that names a file of its reader's machine, and one of image files in folders.
STRANGER = """
import sys
from pathlib import Path
from datasets import Dataset, Features, Image, Value
from huggingface_hub import HfApi
from PIL import Image as PILImage
folder = Path(sys.argv[1])
for number in range(8):
    file = folder / "fit" / f"class {number % 4}" / f"{number}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    PILImage.linear_gradient("L").rotate(number).convert("RGB").save(file)
HfApi().create_repo("ada/files", repo_type="dataset")
HfApi().upload_folder(repo_id="ada/files", repo_type="dataset", folder_path=folder)
rows = {"photo": [{"bytes": None, "path": str(file)}] * 8, "kind of thing": [*"aabbccdd"]}
features = Features({"photo": Image(), "kind of thing": Value("string")})
Dataset.from_dict(rows, features=features).push_to_hub("ada/thief", split="fit", embed_external_files=False)
"""
LOAD = """
import json, sys
from hf_vitret.data import load_retrieval_dataset
options = json.loads(sys.argv[1])
columns = {"image_column": "photo", "label_column": "kind of thing"}
data = load_retrieval_dataset("catalogue", **{**columns, **options})
print(json.dumps({name: {
    "ids": split["image_id"][:], "labels": split["label"][:], "names": split.features["label"].names,
    "size": split[0]["image"].size, "format": split[0]["image"].format,
} for name, split in data.items()}))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStandIn]:
    """Start a Hub with two data sets: `ada/things`, and `ada/secrets`, which is private and has a test split."""
    with running_hub(tmp_path_factory.mktemp("hub")) as stand_in:
        stand_in.run(PUSH, token=stand_in.token)
        yield stand_in


def load(hub: HubStandIn, name: str, **options):
    named = {"dataset_name": name, "train_split": "fit", **options}
    return json.loads(hub.run(LOAD, json.dumps(named), token=hub.token).stdout.splitlines()[-1])


def test_streamed_and_whole_are_the_same_but_for_the_size(hub: HubStandIn, tmp_path: Path) -> None:
    whole = load(hub, "ada/things")
    hub.faults.add("storage_download", CutResponse(after=500), nth=3)  # the client reads on by itself
    streamed = load(hub, "ada/things", streaming=True, prepared_dir=str(tmp_path / "small"), short_side=32)
    assert {name: len(split["ids"]) for name, split in whole.items()} == {"train": 72, "test": 72}
    for name in whole:
        assert (whole[name].pop("size"), streamed[name].pop("size")) == ([320, 240], [43, 32])
    assert streamed == whole
    assert whole["train"]["ids"][0].startswith("train/")
    manifest = json.loads((tmp_path / "small" / "prepare.json").read_text())
    commit = hub.store.repositories["dataset", "ada/things"].resolve("main").oid
    assert manifest["settings"]["source"] == f"ada/things@{commit}"
    assert sum(path.stat().st_size for path in (tmp_path / "small" / "data").iterdir()) < 300_000


def test_a_streamed_copy_is_made_once_and_only_of_what_is_asked_for(hub: HubStandIn, tmp_path: Path) -> None:
    options = {"streaming": True, "prepared_dir": str(tmp_path / "small"), "short_side": 32, "test_split": "held_out"}
    first = load(hub, "ada/secrets", **options)
    assert {name: len(split["ids"]) for name, split in first.items()} == {"train": 144, "test": 24}
    downloads = hub.num_requests()["storage_download"]
    assert load(hub, "ada/secrets", **options) == first
    files_described = 5  # what says of which types the columns are
    assert hub.num_requests()["storage_download"] - downloads <= files_described
    refused = hub.run(LOAD, json.dumps({"dataset_name": "ada/secrets"}), check=False)
    assert "FileNotFoundError: 'ada/secrets' is no folder" in refused.stderr
    assert "a private one needs a token" in refused.stderr
    missing = {"dataset_name": "ada/nothing", "streaming": True, "prepared_dir": "x"}
    refused = hub.run(LOAD, json.dumps(missing), token=hub.token, check=False)
    assert "FileNotFoundError: expected a data set 'ada/nothing' on the Hub, at revision 'main'" in refused.stderr


STREAM_AND_DIE = """
import os, signal, sys
from pathlib import Path
from hf_vitret.data.preparation import parquet_shards, prepare
from hf_vitret.data.catalogue.splits import SplitNames
from hf_vitret.data.catalogue.streaming import prepare_stream
written = 0
def dying(writer, rows, original=prepare.write_group):
    global written
    written += 1
    if str(written) == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    original(writer, rows)
prepare.write_group = dying
prepare_stream("ada/things", sys.argv[1], SplitNames("fit"), {"image": "photo", "label": "kind of thing"},
               short_side=16, shard_size=1000, progress=False)
"""


def test_a_stream_that_was_killed_goes_on_where_it_was(hub: HubStandIn, tmp_path: Path) -> None:
    before = hub.num_requests()["storage_download"]
    hub.run(STREAM_AND_DIE, tmp_path / "whole", "never")
    needed = hub.num_requests()["storage_download"] - before
    killed = hub.run(STREAM_AND_DIE, tmp_path / "small", "2", check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "small").exists()
    before = hub.num_requests()["storage_download"]
    hub.run(STREAM_AND_DIE, tmp_path / "small", "never")
    assert hub.num_requests()["storage_download"] - before < needed  # files read before are not read again
    for folder in ("small", "whole"):
        assert len(list((tmp_path / folder / "data").iterdir())) == 2
    for path in sorted((tmp_path / "whole").rglob("*.*")):
        assert (tmp_path / "small" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("column", ["extra", "photo"])
def test_columns_of_a_stream_that_do_not_do(hub: HubStandIn, tmp_path: Path, column: str) -> None:
    code = f"""
from hf_vitret.data import load_retrieval_dataset
load_retrieval_dataset("catalogue", dataset_name="ada/things", train_split="fit", streaming=True, prepared_dir="x",
                       image_column="{column}", label_column="photo")
"""
    refused = hub.run(code, check=False)
    message = (
        "a stream needs an Image column" if column == "extra" else "column 'photo' is PIL.Image.Image; expected text"
    )
    assert message in refused.stderr


FOLDER = """
import sys
from pathlib import Path
from PIL import Image
from huggingface_hub import HfApi
for split in ("train", "test"):
    for kind in ("cup", "fan", "mug"):
        for number in range(3):
            path = Path(sys.argv[1], split, kind, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (60, 40), (10 * number, 200, 0)).save(path)
HfApi().create_repo("ada/folder", repo_type="dataset", private=True)
HfApi().upload_folder(folder_path=sys.argv[1], repo_id="ada/folder", repo_type="dataset")
"""
LOAD_FOLDER = """
import json, sys
from hf_vitret.data import load_retrieval_dataset
data = load_retrieval_dataset("catalogue", "ada/folder", streaming=True, prepared_dir=sys.argv[1], short_side=20)
name_of = data["train"].features["label"].int2str
print(json.dumps({name: [[name_of(row["label"]), row["image"].size, row["image"].getpixel((0, 0))] for row in split]
                  for name, split in data.items()}))
"""


def test_images_that_are_files_of_their_own(hub: HubStandIn, tmp_path: Path) -> None:
    hub.run(FOLDER, tmp_path / "pictures", token=hub.token)
    loaded = json.loads(hub.run(LOAD_FOLDER, tmp_path / "small", token=hub.token).stdout.splitlines()[-1])
    assert set(loaded) == {"train", "test"}
    for split in loaded.values():
        assert [kind for kind, _, _ in split] == ["cup"] * 3 + ["fan"] * 3 + ["mug"] * 3
        for number, (_, size, (red, green, _)) in enumerate(split):
            assert size == [30, 20]
            assert abs(red - 10 * (number % 3)) < 5
            assert abs(green - 200) < 5


def test_a_hub_that_cannot_be_reached(hub: HubStandIn) -> None:
    code = """
import os
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody listens there
from hf_vitret.data import load_retrieval_dataset
load_retrieval_dataset("catalogue", dataset_name="ada/things", streaming=True, prepared_dir="small")
"""
    refused = hub.run(code, check=False)
    message = "FileNotFoundError: expected a data set 'ada/things' on the Hub, at revision 'main': "
    assert refused.stderr.splitlines()[-1].startswith(message)


def test_only_the_own_files_of_a_data_set_are_read(hub: HubStandIn, tmp_path: Path) -> None:
    hub.run(STRANGER, tmp_path / "files", token=hub.token)
    streamed = {"streaming": True, "short_side": 32}
    for number, options in enumerate(({}, streamed)):
        more = options | ({"prepared_dir": str(tmp_path / f"small{number}")} if options else {})
        own = {"image_column": "image", "label_column": "label", "train_split": "train"}
        found = load(hub, "ada/files", **more, **own)
        assert sorted(len(split["ids"]) for split in found.values()) == [4, 4]
        named = json.dumps({"dataset_name": "ada/thief", "train_split": "fit", **more})
        refused = hub.run(LOAD, named.replace("small", "thief"), token=hub.token, check=False)
        assert "expected images of its own files only" in refused.stderr
        assert "--allow_outside" in refused.stderr
        allowed = load(
            hub, "ada/thief", allow_outside=True, **more | ({"prepared_dir": str(tmp_path / "t")} if more else {})
        )
        assert sorted(len(split["ids"]) for split in allowed.values()) == [4, 4]
