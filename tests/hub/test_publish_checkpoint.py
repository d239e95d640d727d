"""Checkpoints are published on the Hub stand-in by the real client and loaded from it, with faults on the way."""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hf_vitret.hub.publish_checkpoint import plan_release
from tests.hub.publishing_client import Client, publishing_client
from tests.hub_stand_in.faults import CutRequest, CutResponse, Fault, Refuse
from tests.hub_stand_in.stand_in import HubStandIn, running_hub
from tests.training.runs import tiny_vit

NUMBERS = itertools.count()
PIXELS = "torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)"
# Evaluates the loading code of cards in a process that cannot import hf_vitret.
LOAD = f"""
import json, sys
sys.modules["hf_vitret"] = None  # any import of it fails
import torch
from transformers import AutoModel
print(json.dumps([eval(code).eval()({PIXELS}).embeddings.tolist() for code in sys.argv[1:]]))
"""
CARD = """---
license: mit
---
# Birds

```python
from transformers import AutoModel

model = AutoModel.from_pretrained(".", trust_remote_code=True)
```

`train.py --data_dir /home/ada/birds`
"""
RELEASED = {
    *("README.md", "config.json", "configuration_vitret.py", "model.safetensors", "modeling_vitret.py"),
    *("onnx/model.onnx", "preprocessor_config.json", "results.json", "retrieval.png", ".eval_results/birds.yaml"),
}
NOT_RELEASED = ("training_args.bin", "optimizer.pt", "rng_state.pth", "trainer_state.json", "loss_state.safetensors")
NOT_RELEASED += ("checkpoint-6/model.safetensors", "notes.ipynb", ".partial-x/config.json", "runs/events.json")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStandIn]:
    """Run one Hub for all tests of this module; each test uses its own repository."""
    with running_hub(tmp_path_factory.mktemp("hub")) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def client(hub: HubStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with publishing_client(hub, tmp_path_factory.mktemp("client")) as started:
        yield started


def save_new_weights(folder: Path) -> list[list[float]]:
    """Save a model whose weights are not in the storage yet, and return its embedding of one image."""
    model = tiny_vit().eval()
    with torch.no_grad():
        next(model.parameters()).add_(next(NUMBERS))
        model.save_pretrained(folder)
        return model(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)).embeddings.tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a checkpoint as a run leaves it, with files that are not to be published."""
    folder = tmp_path / "final"
    save_new_weights(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "results.json").write_text(json.dumps({"command": f"train.py --output_dir {tmp_path}"}))
    (folder / "retrieval.png").write_bytes(b"\0picture")
    for name in ("onnx/model.onnx", ".eval_results/birds.yaml", *NOT_RELEASED):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"0")
    return folder


def on(hub: HubStandIn, repo_id: str, revision: str = "main") -> dict[str, str]:
    """Return the files of a revision: path -> content, or the SHA-256 of the content if it is in the storage."""
    files = hub.store.repositories["model", repo_id].resolve(revision).files
    return {path: file.lfs_oid or file.content.decode() for path, file in files.items() if path != ".gitattributes"}


def num_commits(hub: HubStandIn, repo_id: str) -> int:
    return len(hub.store.repositories["model", repo_id].commits) - 1  # without the first, which adds .gitattributes


def test_two_releases_are_loaded_bit_for_bit(hub: HubStandIn, client: Client, folder: Path, tmp_path: Path) -> None:
    old = save_new_weights(folder)
    first = client.publish(folder, "ada/birds", token=hub.token)
    assert first == {
        "repo_id": "ada/birds",
        "commit": hub.store.repositories["model", "ada/birds"].resolve("main").oid,
        "tag": "v1",
        "url": f"{hub.url}/ada/birds/tree/v1",
    }
    there = on(hub, "ada/birds", "v1")
    assert set(there) == RELEASED
    assert hub.store.repositories["model", "ada/birds"].private
    code = 'AutoModel.from_pretrained("ada/birds", trust_remote_code=True, revision="v{}")'
    assert f"\nmodel = {code.format(1)}\n" in there["README.md"]
    assert "`train.py --data_dir birds`" in there["README.md"]
    assert json.loads(there["results.json"]) == {"command": f"train.py --output_dir {tmp_path.name}"}
    for name in ("config.json", "preprocessor_config.json", "modeling_vitret.py", "configuration_vitret.py"):
        assert there[name] == (folder / name).read_text()
    assert (folder / "README.md").read_text() == CARD

    before = hub.num_requests()
    assert client.publish(folder, "ada/birds", token=hub.token) == first
    assert hub.num_requests()["storage_upload"] == before["storage_upload"]
    assert hub.num_requests()["create_commit"] == before["create_commit"] == 1

    new = save_new_weights(folder)
    assert client.publish(folder, "ada/birds", token=hub.token)["tag"] == "v2"
    assert num_commits(hub, "ada/birds") == 2
    loaded = json.loads(hub.run(LOAD, code.format(1), code.format(2), token=hub.token).stdout.splitlines()[-1])
    assert loaded == [old, new]
    assert old != new
    assert "" not in hub.num_requests()


def test_what_is_read_back_is_what_was_written(hub: HubStandIn, client: Client, folder: Path) -> None:
    made = client.publish(folder, "ada/whole", token=hub.token, private=False, tag="paper")
    assert not hub.store.repositories["model", "ada/whole"].private
    code = "from huggingface_hub import snapshot_download; print(snapshot_download('ada/whole', revision='paper'))"
    snapshot = Path(hub.run(code).stdout.strip())
    assert snapshot.name == made["commit"]
    for name in RELEASED - {"README.md", "results.json"}:
        assert (snapshot / name).read_bytes() == (folder / name).read_bytes()


def test_of_an_earlier_release_only_other_files_stay(hub: HubStandIn, client: Client, folder: Path) -> None:
    fill = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/older", private=True)
for path in ("notes.md", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
             "last-checkpoint/optimizer.pt", "checkpoint-3/config.json", "training_args.bin"):
    api.upload_file(path_or_fileobj=b"0", path_in_repo=path, repo_id="ada/older")
api.create_tag("ada/older", tag="v7")
"""
    hub.run(fill, token=hub.token)
    assert client.publish(folder, "ada/older", token=hub.token)["tag"] == "v8"
    assert set(on(hub, "ada/older")) == RELEASED | {"notes.md"}
    assert "pytorch_model.bin" in on(hub, "ada/older", "v7")


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("create_repo", Refuse(500)),
        ("repo_info", Refuse(429, {"Retry-After": "0"})),
        ("validate_yaml", Refuse(503)),
        ("storage_upload", CutRequest(after=100)),  # repeated by huggingface_hub itself
        ("create_commit", Refuse(429, {"Retry-After": "0"})),
        ("create_commit", CutRequest(after=10)),
        ("create_commit", CutResponse()),  # the commit is made, but the client does not get the answer
        ("create_tag", Refuse(500)),
        ("create_tag", CutResponse()),
    ],
)
def test_trouble_that_passes(hub: HubStandIn, client: Client, folder: Path, route: str, fault: Fault) -> None:
    repo_id = f"ada/{route}-{type(fault).__name__}{getattr(fault, 'status', '')}"
    hub.faults.add(route, fault)
    made = client.publish(folder, repo_id, token=hub.token)
    assert made.get("tag") == "v1", made
    assert set(on(hub, repo_id, "v1")) == RELEASED
    assert num_commits(hub, repo_id) == 1


@pytest.mark.parametrize(
    ("route", "fault", "times", "message"),
    [
        ("storage_upload", Refuse(400), 1, "OSError: the push to {} failed: "),
        ("create_commit", Refuse(409), 1, "OSError: the push to {} failed: somebody else is changing the repository"),
        ("create_commit", Refuse(500), 6, "OSError: the push to {} failed: "),
        (
            "create_commit",
            Refuse(404),
            1,
            "ValueError: expected a repository {} that this token may read; the Hub has none (404)",
        ),
    ],
)
def test_trouble_that_stays_leaves_nothing_half_done(
    hub: HubStandIn, client: Client, folder: Path, route: str, fault: Fault, times: int, message: str
) -> None:
    repo_id = f"ada/failed-{route}-{getattr(fault, 'status', '')}"
    uploads = hub.num_requests()["storage_upload"]
    hub.faults.add(route, fault, times=times)
    refused = client.publish(folder, repo_id, token=hub.token)
    assert message.format(repo_id) in refused["error"]
    assert "Nothing is lost" in refused["error"]
    assert (on(hub, repo_id), hub.store.repositories["model", repo_id].tags) == ({}, {})
    assert client.publish(folder, repo_id, token=hub.token)["tag"] == "v1"
    assert set(on(hub, repo_id, "v1")) == RELEASED
    # The storage gets the file once, and a second time only if it refused the first upload.
    assert hub.num_requests()["storage_upload"] - uploads == 1 + (route == "storage_upload")


def test_what_somebody_else_pushes_meanwhile_is_not_overwritten(hub: HubStandIn, client: Client, folder: Path) -> None:
    refused = client.publish(folder, "ada/shared", token=hub.token, another_pushes=True)
    assert "somebody else is changing the repository, or has changed it since this push began (412)" in refused["error"]
    assert set(on(hub, "ada/shared")) == {"theirs.txt"}
    assert client.publish(folder, "ada/shared", token=hub.token)["tag"] == "v1"
    assert set(on(hub, "ada/shared")) == RELEASED | {"theirs.txt"}


def test_who_may_not(hub: HubStandIn, client: Client, folder: Path) -> None:
    for token, status in (("hf_expired", 401), (hub.add_user("bob"), 403)):
        refused = client.publish(folder, "ada/denied", token=token)["error"]
        assert (
            f"ValueError: expected a token that may write to ada/denied; the Hub refused this one ({status})" in refused
        )
        assert token not in refused
    requests = len(hub.requests)
    refused = client.publish(folder, "ada/denied")["error"]
    assert "ValueError: pushing to the Hub needs a token that may write" in refused
    assert len(hub.requests) == requests
    assert ("model", "ada/denied") not in hub.store.repositories


def test_a_release_stays_what_it_was(hub: HubStandIn, client: Client, folder: Path) -> None:
    first = client.publish(folder, "ada/fixed", token=hub.token, tag="final")
    assert client.publish(folder, "ada/fixed", token=hub.token, tag="final") == first
    (folder / "results.json").write_text("{}")
    refused = client.publish(folder, "ada/fixed", token=hub.token, tag="final")
    message = "ValueError: expected a tag that ada/fixed does not have; final is the tag of another checkpoint"
    assert message in refused["error"]
    assert num_commits(hub, "ada/fixed") == 1


def test_what_is_private_is_not_pushed_to_what_is_public(hub: HubStandIn, client: Client, folder: Path) -> None:
    client.publish(folder, "ada/open", token=hub.token, private=False)
    (folder / "results.json").write_text("{}")
    refused = client.publish(folder, "ada/open", token=hub.token)
    message = "ValueError: expected the repository ada/open to be private; it exists and is public"
    assert message in refused["error"]
    assert num_commits(hub, "ada/open") == 1


def test_a_token_in_a_file_stays_here_and_in_no_log(hub: HubStandIn, client: Client, folder: Path) -> None:
    hub.faults.add("create_repo", Refuse(500))
    client.publish(folder, "ada/logged", token=hub.token)
    (folder / "results.json").write_text(json.dumps({"command": f"train.py --hub_token {hub.token}"}))
    refused = client.publish(folder, "ada/leak", token=hub.token)
    message = "ValueError: expected no token of the Hub in results.json; it contains one, and nothing was uploaded"
    assert message in refused["error"]
    assert ("model", "ada/leak") not in hub.store.repositories
    assert "it is repeated in 0.01 s" in client.log()
    assert hub.token not in client.log() + refused["error"]


def test_a_plan_lists_what_is_uploaded(hub: HubStandIn, client: Client, folder: Path) -> None:
    requests = len(hub.requests)
    planned = plan_release(folder)
    assert len(hub.requests) == requests
    assert list(planned) == sorted(RELEASED)
    client.publish(folder, "ada/planned", token=hub.token)
    snapshot = hub.store.repositories["model", "ada/planned"].resolve("main").files
    for path in RELEASED - {"README.md"}:  # the card has the tag in it, which is not known before
        stored = snapshot[path]
        expected = (folder / path).stat().st_size if stored.lfs_oid else len(stored.content)
        assert planned[path] == expected
    assert planned["results.json"] < (folder / "results.json").stat().st_size  # without the path of this machine
    assert planned["README.md"] == len(CARD.encode()) - len("/home/ada/")


def test_a_plan_makes_the_checks_of_a_release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a token of another form")
    (folder / "notes.txt").write_text("a token of another form")
    with pytest.raises(ValueError, match=r"expected no token of the Hub in notes\.txt; it contains one"):
        plan_release(folder)
    (folder / "notes.txt").write_text("hf_" + "aB3" * 12)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match=r"expected no token of the Hub in notes\.txt; it contains one"):
        plan_release(folder)
    (folder / "notes.txt").unlink()
    (folder / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected README\.md in "):
        plan_release(folder)


def test_a_folder_that_is_no_release(client: Client, folder: Path) -> None:
    shutil.rmtree(folder)
    refused = client.publish(folder, "ada/x", token="hf_any")
    assert "FileNotFoundError: expected a checkpoint in" in refused["error"]
