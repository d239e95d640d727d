"""The real client makes, fills, lists, reads, tags and removes repositories on the stand-in."""

import json

import pytest

from .stand_in import HubStandIn

WRITE = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
kind, source = sys.argv[1], Path(sys.argv[2])
api = HfApi()
url = api.create_repo("ada/things", repo_type=kind)
commit = api.upload_folder(folder_path=source, repo_id="ada/things", repo_type=kind)
again = api.upload_folder(folder_path=source, repo_id="ada/things", repo_type=kind)
api.create_tag("ada/things", tag="v1", repo_type=kind)
api.upload_file(path_or_fileobj=b"changed", path_in_repo="notes.txt", repo_id="ada/things", repo_type=kind)
api.delete_file("deep/er/b.txt", "ada/things", repo_type=kind)
info = api.repo_info("ada/things", repo_type=kind, files_metadata=True)
tree = list(api.list_repo_tree("ada/things", repo_type=kind, recursive=True))
snapshot = Path(snapshot_download("ada/things", repo_type=kind))
old = Path(hf_hub_download("ada/things", "notes.txt", repo_type=kind, revision="v1"))
print(json.dumps({
    "url": str(url), "who": api.whoami()["name"], "commits": [commit.oid, again.oid],
    "tagged": api.list_repo_refs("ada/things", repo_type=kind).tags[0].target_commit,
    "titles": [commit.title for commit in api.list_repo_commits("ada/things", repo_type=kind)],
    "tree": {entry.path: getattr(entry, "size", None) for entry in tree},
    "lfs": sorted(file.rfilename for file in info.siblings if file.lfs),
    "card": info.card_data.to_dict(),
    "read": {path: (snapshot / path).read_bytes().hex() for path in api.list_repo_files("ada/things", repo_type=kind)},
    "old": old.read_text(),
}))
api.delete_repo("ada/things", repo_type=kind)
assert not api.repo_exists("ada/things", repo_type=kind)
"""


@pytest.fixture
def files(tmp_path):
    """Write a folder of small text, nested, and of binary files that belong into the storage."""
    folder = tmp_path / "source"
    content = {
        "README.md": b"---\nlicense: mit\n---\n# Things\n",
        "notes.txt": b"first",
        "deep/er/a.txt": "ü".encode(),
        "deep/er/b.txt": b"b",
        "deep/weights.safetensors": bytes(range(256)) * 20_000,
        "odd name #1.bin": b"\0\1\2",
        "empty.parquet": b"",
    }
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(value)
    return folder, content


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_what_is_uploaded_comes_back(hub: HubStandIn, files, kind: str) -> None:
    folder, content = files
    hub.store.page_size = 3  # several pages
    said = json.loads(hub.run(WRITE, kind, folder, token=hub.token).stdout)
    assert said["url"] == f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}ada/things"
    assert said["who"] == "ada"
    assert len(set(said["commits"])) == 1  # the second upload changed nothing
    assert said["tagged"] == said["commits"][0]
    assert len(said["titles"]) == 4
    content |= {"notes.txt": b"changed"}
    del content["deep/er/b.txt"]
    read = {name: bytes.fromhex(value) for name, value in said["read"].items() if name != ".gitattributes"}
    assert read == content
    assert said["tree"] == {
        **{name: len(value) for name, value in content.items()},
        **{".gitattributes": said["tree"][".gitattributes"], "deep": None, "deep/er": None},
    }
    assert said["lfs"] == ["deep/weights.safetensors", "odd name #1.bin"]
    assert said["card"] == {"license": "mit"}
    assert said["old"] == "first"
    counts = hub.num_requests()
    assert counts["storage_upload"] == 2
    assert counts["list_tree"] >= 3
    assert "" not in counts  # every address that the client asked for is served
    assert hub.store.repositories == {}


def test_a_private_repository_is_its_owners(hub: HubStandIn) -> None:
    stranger = hub.add_user("bob")
    code = """
import sys
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
ada, bob = sys.argv[1:]
HfApi(token=ada).create_repo("ada/secret", private=True)
HfApi(token=ada).upload_file(path_or_fileobj=b"\\0s3cret", path_in_repo="a.bin", repo_id="ada/secret")
for token, status in ((bob, 404), (False, 401)):
    try:
        hf_hub_download("ada/secret", "a.bin", token=token)
    except RepositoryNotFoundError as error:
        assert error.response.status_code == status
    else:
        sys.exit("read by a stranger")
assert open(hf_hub_download("ada/secret", "a.bin", token=ada), "rb").read() == b"\\0s3cret"
try:
    HfApi(token=bob).create_repo("ada/other")
except HfHubHTTPError as error:
    assert error.response.status_code == 403
else:
    sys.exit("made in another's name")
"""
    hub.run(code, hub.token, stranger)
    storage = [seen for seen in hub.requests if seen.route.startswith("storage")]
    assert len(storage) >= 2
    assert {(seen.status, seen.user) for seen in storage} == {(200, None)}  # no token was sent there


def test_a_commit_on_an_old_parent_is_refused(hub: HubStandIn) -> None:
    code = """
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
api = HfApi()
api.create_repo("ada/x")
old = api.repo_info("ada/x").sha
api.upload_file(path_or_fileobj=b"1", path_in_repo="1", repo_id="ada/x")
try:
    api.create_commit("ada/x", [CommitOperationAdd("2", b"2")], commit_message="late", parent_commit=old)
except HfHubHTTPError as error:
    assert error.response.status_code == 412
else:
    raise AssertionError
assert api.list_repo_files("ada/x") == [".gitattributes", "1"]
"""
    hub.run(code, token=hub.token)


def test_parts_of_files(hub: HubStandIn) -> None:
    code = """
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.utils import get_session
api = HfApi()
api.create_repo("ada/x", repo_type="dataset")
for name in ("a.txt", "a.bin"):
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo=name, repo_id="ada/x", repo_type="dataset")
    url = f"{api.endpoint}/datasets/ada/x/resolve/main/{name}"
    for asked, status, got in [("2-4", 206, b"234"), ("7-", 206, b"789"), ("-2", 206, b"89"), ("3-99", 206, b"3456789"),
                               ("10-", 416, None)]:
        answer = get_session().get(url, headers={"Range": f"bytes={asked}"})
        assert answer.status_code == status, (name, asked, answer)
        assert got is None or answer.content == got
    with HfFileSystem(skip_instance_cache=True).open(f"datasets/ada/x/{name}") as stream:
        stream.seek(5)
        assert stream.read(3) == b"567"
"""
    hub.run(code, token=hub.token)
