"""A planned fault happens at its request and no other, and the real client sees it as it would see the Hub's."""

import pytest

from .faults import CutRequest, CutResponse, Faults, Refuse
from .stand_in import HubStandIn

REPEATS = 50_000  # of 256 bytes: the client writes a download to the disk by 10 MiB, and only then can it go on
UPLOAD = f"""
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/x", exist_ok=True)
api.upload_file(path_or_fileobj=bytes(range(256)) * {REPEATS}, path_in_repo="a.bin", repo_id="ada/x")
"""
DOWNLOAD = f"""
from huggingface_hub import hf_hub_download
assert open(hf_hub_download("ada/x", "a.bin"), "rb").read() == bytes(range(256)) * {REPEATS}
"""


def statuses(hub: HubStandIn, route: str) -> list[int]:
    return [seen.status for seen in hub.requests if seen.route == route]


@pytest.mark.parametrize("fault", [Refuse(500), Refuse(429, {"Retry-After": "0"}), CutRequest(after=5_000_000)])
def test_the_client_uploads_again(hub: HubStandIn, fault: Refuse | CutRequest) -> None:
    hub.faults.add("storage_upload", fault)
    hub.run(UPLOAD, token=hub.token)
    first, second = statuses(hub, "storage_upload")
    assert (first, second) == (getattr(fault, "status", 0), 200)
    assert not list(hub.store.objects.glob("*.partial"))
    hub.run(DOWNLOAD)


def test_a_download_that_breaks_off_goes_on_where_it_was(hub: HubStandIn) -> None:
    hub.run(UPLOAD, token=hub.token)
    hub.faults.add("storage_download", CutResponse(after=12_000_000))
    hub.run(DOWNLOAD)
    assert statuses(hub, "storage_download") == [0, 206]


def test_what_was_uploaded_before_a_failure_is_not_uploaded_again(hub: HubStandIn) -> None:
    hub.faults.add("create_commit", Refuse(409, message="another commit is in progress"))
    failed = hub.run(UPLOAD, token=hub.token, check=False)
    assert "409" in failed.stderr
    assert "another commit is in progress" in failed.stderr
    hub.run(UPLOAD, token=hub.token)
    assert statuses(hub, "create_commit") == [409, 200]
    assert statuses(hub, "storage_upload") == [200]


def test_a_commit_whose_answer_is_lost_was_made(hub: HubStandIn) -> None:
    hub.faults.add("create_commit", CutResponse())
    assert hub.run(UPLOAD, token=hub.token, check=False).returncode == 1
    assert "a.bin" in hub.store.repositories["model", "ada/x"].resolve("main").files


def test_a_token_of_nobodys(hub: HubStandIn) -> None:
    refused = hub.run(UPLOAD, token="hf_wrong", check=False)
    assert "401" in refused.stderr
    assert hub.store.repositories == {}


def test_which_requests_fail() -> None:
    faults = Faults()
    faults.take("whoami")
    faults.add("whoami", Refuse(500), nth=2, times=2)
    assert [faults.take("whoami") for _ in range(4)] == [None, Refuse(500), Refuse(500), None]
    assert faults.pending() == []
    faults.add("whoami", Refuse(401))
    assert len(faults.pending()) == 1
    with pytest.raises(ValueError, match="no route 'whoarewe'; there are whoami, create_repo"):
        faults.add("whoarewe", Refuse(401))
