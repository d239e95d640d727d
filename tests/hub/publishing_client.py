"""A client of the Hub stand-in that publishes on request: one process for all tests of a module, as imports are slow.

It reads lines of JSON, `{"folder": ..., "repo_id": ..., ...}`, and answers each with what `publish_checkpoint` returned
or raised.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hub_stand_in.stand_in import HubStandIn


@contextmanager
def publishing_client(hub: HubStandIn, home: Path) -> Iterator["Client"]:
    """Start the process, without a token of its own, and end it with the block."""
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.publishing_client"],
            env=hub.environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with process:
            yield Client(process, home / "log")
            process.communicate()


class Client:
    """The process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def publish(self, folder: Path, repo_id: str, **options: Any) -> dict[str, str]:
        """Return the fields of `Published`, or `error`: the kind and the message."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "repo_id": repo_id, **options}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        return answer

    def log(self) -> str:
        """Return all that it said beside its answers."""
        return self._log.read_text()


def serve() -> None:
    import logging

    from huggingface_hub import HfApi

    from hf_vitret.hub import hub_client
    from hf_vitret.hub.publish_checkpoint import publish_checkpoint

    logging.basicConfig(level=logging.DEBUG)  # everything that could name a token
    hub_client.WAITS = (0.01,) * 5
    preupload = HfApi.preupload_lfs_files

    def preupload_beside_another(self: HfApi, repo_id: str, *args: Any, **kwargs: Any) -> None:
        HfApi.preupload_lfs_files = preupload
        self.upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id=repo_id)
        preupload(self, repo_id, *args, **kwargs)

    for line in sys.stdin:
        options = json.loads(line)
        if options.pop("another_pushes", False):
            HfApi.preupload_lfs_files = preupload_beside_another
        try:
            answer = dataclasses.asdict(publish_checkpoint(**options))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
