"""Prepared data sets are pushed to the Hub stand-in by the real client and loaded from it, with faults on the way."""

import json
import shutil
from pathlib import Path

import pytest

from hf_vitret.data.preparation.prepare import prepare_dataset
from hf_vitret.hub.dataset_card import write_dataset_card
from tests.hub.test_dataset_card import SIZE, code_of, make_split
from tests.hub_stand_in.faults import CutRequest, CutResponse, Fault, Refuse
from tests.hub_stand_in.stand_in import HubStandIn

PUSH = """
import sys
from hf_vitret.hub.publish_dataset import publish_dataset
folder, repo_id, kind = sys.argv[1:]
print(publish_dataset(folder, repo_id, private=kind == "private"))
"""
LOAD = """
import json
from datasets import Image, load_dataset
def described(data):
    data = {name: split.cast_column("image", Image(decode=False)) for name, split in data.items()}
    return {name: [[row["image_id"], row["label"], row["image"]["bytes"].hex()] for row in split]
            for name, split in data.items()}
print(json.dumps([described(load_dataset("ada/shapes", streaming=streaming)) for streaming in (False, True)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a data set of three splits, one of which has two shards."""
    from datasets import ClassLabel

    label = ClassLabel(names=["cup", "fan", "mug", "sofa"])
    dataset = {name: make_split(name, size, label) for name, size in SIZE.items()}
    dataset["train"] = make_split("train", 130, label)
    folder = tmp_path_factory.mktemp("push") / "shapes-16"
    prepare_dataset(dataset, folder, short_side=16, shard_size=1, progress=False)
    write_dataset_card(folder, title="shapes", repo_id="ada/shapes")
    return folder


def files_on(hub: HubStandIn, repo_id: str = "ada/shapes") -> set[str]:
    return set(hub.store.repositories["dataset", repo_id].resolve("main").files) - {".gitattributes"}


def test_pushed_and_loaded_in_a_clean_process_it_is_the_same(hub: HubStandIn, folder: Path) -> None:
    commit = hub.run(PUSH, folder, "ada/shapes", "private", token=hub.token).stdout.strip()
    repository = hub.store.repositories["dataset", "ada/shapes"]
    assert repository.private
    assert repository.resolve("main").oid == commit
    assert files_on(hub) == {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert hub.num_requests()["create_commit"] == 1  # readers see all shards or none
    whole, streamed = json.loads(hub.run(LOAD, token=hub.token).stdout)
    assert streamed == whole
    from datasets import Image, load_dataset

    here = {name: split.cast_column("image", Image(decode=False)) for name, split in load_dataset(str(folder)).items()}
    assert whole == {
        name: [[row["image_id"], row["label"], row["image"]["bytes"].hex()] for row in split]
        for name, split in here.items()
    }
    for code in code_of(folder):
        code += "\nassert {name: len(split) for name, split in dataset.items()} == " + repr({**SIZE, "train": 130})
        hub.run(code, token=hub.token)
    # A second push of the same folder uploads nothing and makes no commit.
    before = hub.num_requests()
    assert hub.run(PUSH, folder, "ada/shapes", "private", token=hub.token).stdout.strip() == commit
    assert hub.num_requests()["storage_upload"] == before["storage_upload"] == 4


def test_shards_of_an_earlier_version_go_and_other_files_stay(hub: HubStandIn, folder: Path, tmp_path: Path) -> None:
    hub.run(PUSH, folder, "ada/shapes", "public", token=hub.token)
    hub.run(
        "from huggingface_hub import upload_file\n"
        "upload_file(path_or_fileobj=b'kept', path_in_repo='notes.md', repo_id='ada/shapes', repo_type='dataset')",
        token=hub.token,
    )
    from datasets import load_dataset

    prepare_dataset(dict(load_dataset(str(folder))), tmp_path / "new", short_side=8, progress=False)
    write_dataset_card(tmp_path / "new", title="shapes")
    hub.run(PUSH, tmp_path / "new", "ada/shapes", "public", token=hub.token)
    assert not hub.store.repositories["dataset", "ada/shapes"].private
    assert files_on(hub) == {
        "README.md",
        "notes.md",
        "prepare.json",
        *(f"data/{name}-00000-of-00001.parquet" for name in SIZE),
    }


@pytest.mark.parametrize(
    ("route", "fault", "fails"),
    [
        ("storage_upload", CutRequest(after=100), False),  # repeated by the client
        ("storage_upload", Refuse(400), True),
        ("create_commit", Refuse(409), True),
        ("create_commit", CutResponse(), False),  # the commit is made, but the client does not get the answer
        ("create_commit", Refuse(429), False),  # repeated by the client
    ],
)
def test_a_push_that_broke_off_goes_on(hub: HubStandIn, folder: Path, route: str, fault: Fault, fails: bool) -> None:
    hub.faults.add(route, fault, nth=3 if route == "storage_upload" else 1)
    first = hub.run(PUSH, folder, "ada/shapes", "private", token=hub.token, check=False)
    assert (first.returncode != 0) == fails
    if fails:
        assert "OSError: the push to ada/shapes failed: " in first.stderr
        assert "Nothing is lost" in first.stderr
        hub.run(PUSH, folder, "ada/shapes", "private", token=hub.token)
    uploads = [seen.path.split("?")[0] for seen in hub.requests if (seen.route, seen.status) == ("storage_upload", 200)]
    assert len(uploads) == len(set(uploads)) == 4  # each shard is uploaded once
    assert files_on(hub) == {str(path.relative_to(folder)) for path in folder.rglob("*.*")}


def test_without_a_token(hub: HubStandIn, folder: Path) -> None:
    refused = hub.run(PUSH, folder, "ada/shapes", "private", check=False)
    assert "ValueError: pushing to the Hub needs a token that may write" in refused.stderr
    assert "Nothing is lost" in refused.stderr
    assert hub.requests == []


def test_a_card_with_a_token_in_it_stays_here(hub: HubStandIn, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "leaking")
    with (tmp_path / "leaking" / "README.md").open("a") as card:
        card.write(f"\nhf download --token {hub.token}\n")
    refused = hub.run(PUSH, tmp_path / "leaking", "ada/shapes", "private", token=hub.token, check=False)
    message = "ValueError: expected no token of the Hub in README.md; it contains one, and nothing was uploaded"
    assert message in refused.stderr
    assert hub.token not in refused.stderr
    assert hub.requests == []


def test_with_a_token_that_may_not(hub: HubStandIn, folder: Path) -> None:
    for token, status in (("hf_expired", 401), (hub.add_user("bob"), 403)):
        refused = hub.run(PUSH, folder, "ada/shapes", "private", token=token, check=False)
        message = f"ValueError: expected a token that may write to ada/shapes; the Hub refused this one ({status})"
        assert message in refused.stderr
        assert token not in refused.stderr + refused.stdout
    assert hub.store.repositories == {}


def test_what_is_private_is_not_pushed_to_what_is_public(hub: HubStandIn, folder: Path) -> None:
    hub.run("from huggingface_hub import create_repo; create_repo('ada/x', repo_type='dataset')", token=hub.token)
    refused = hub.run(PUSH, folder, "ada/x", "private", token=hub.token, check=False)
    assert "ValueError: expected the repository ada/x to be private; it exists and is public" in refused.stderr
    assert files_on(hub, "ada/x") == set()


def test_a_folder_without_a_card(hub: HubStandIn, folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    prepare_dataset({"train": load_dataset(str(folder))["query"]}, tmp_path / "bare", short_side=16, progress=False)
    refused = hub.run(PUSH, tmp_path / "bare", "ada/x", "private", token=hub.token, check=False)
    assert "expected README.md in " in refused.stderr
    assert "; there is none. Write one with write_dataset_card" in refused.stderr
    assert hub.requests == []
