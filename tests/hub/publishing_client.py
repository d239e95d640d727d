"""A process that publishes checkpoints to the Hub stand-in; one serves all tests of a module, as imports are slow.

It reads requests as lines of JSON, `{"folder": ..., "repo_id": ..., ...}`, and answers each with the result or the
error of `publish_checkpoint`.
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
    """Run the process, without a stored token, inside the `with` block."""
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
    """The interface of the process for tests."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def publish(self, folder: Path, repo_id: str, **options: Any) -> dict[str, str]:
        """Return the fields of `Published`, or `error` with the class and message of the exception."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "repo_id": repo_id, **options}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        return answer

    def log(self) -> str:
        """Return the standard error output of the process, with its log."""
        return self._log.read_text()


def serve() -> None:
    import logging

    from huggingface_hub import HfApi

    from hf_vitret.hub import hub_client
    from hf_vitret.hub.publish_checkpoint import publish_checkpoint

    logging.basicConfig(level=logging.DEBUG)  # logs every message that could contain a token
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
