"""The Hub stand-in as a test uses it, and the fixture that starts one."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import ROOT
from tests.warm_process import run_warm

from .faults import Faults
from .server import HubServer, SeenRequest
from .store import Store


class HubStandIn:
    """A running Hub, with one user, "ada", whose token is `token`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = HubServer(folder / "objects")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.token = self.add_user("ada")

    @property
    def store(self) -> Store:
        return self._server.store

    @property
    def faults(self) -> Faults:
        return self._server.faults

    @property
    def requests(self) -> list[SeenRequest]:
        """Everything that was asked so far, in the order in which it was answered."""
        return self._server.requests

    def num_requests(self) -> Counter[str]:
        """Count the requests of each route."""
        return Counter(seen.route for seen in self.requests)

    def add_user(self, name: str) -> str:
        """Make a user and return the token."""
        token = f"hf_{name}StandInToken"
        self.store.users[token] = name
        return token

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Return the environment of a client that knows this Hub and no other, with a cache of its own.

        Args:
            home: Folder of the cache, HF_HOME.
            token: Whose token the client finds; None for none.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING_FACE_")) and not name.lower().endswith("_proxy")
        }
        kept |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(ROOT),
        }
        return kept | ({"HF_TOKEN": token} if token else {})

    def run(
        self, code: str, *arguments: str | Path, token: str | None = None, home: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code as a client in a process of its own.

        Args:
            code: The program; `sys.argv[1:]` are the arguments.
            *arguments: Passed to it.
            token: As `environment`.
            home: The client's cache; default: a new one, so that everything is asked for.
            check: Whether the program must end well; its errors are shown where it does not.

        Returns:
            The process, with `stdout` and `stderr`.
        """
        home = home or Path(tempfile.mkdtemp(dir=self._folder, prefix="home-"))
        process = run_warm(code, *arguments, environment=self.environment(home, token), folder=self._folder)
        assert not check or process.returncode == 0, process.stderr[-4000:]
        return process

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def running_hub(folder: Path) -> Iterator[HubStandIn]:
    """Run a Hub that keeps its files in a folder; a fault that was planned and has not happened is an error."""
    stand_in = HubStandIn(folder)
    try:
        yield stand_in
    finally:
        stand_in.stop()
    pending = stand_in.faults.pending()
    assert not pending, pending


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    """Give a running Hub, with nothing on it."""
    with running_hub(tmp_path / "hub") as stand_in:
        yield stand_in
