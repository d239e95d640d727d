"""A headless Chromium, driven by the DevTools protocol over a pipe: no driver and no further package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PROGRAM = shutil.which("chromium")
FLAGS = [
    *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    *["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"],
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # fonts of others' servers are not waited for
]


class Browser:
    """One page of a running Chromium."""

    def __init__(self, to_browser: int, from_browser: BinaryIO) -> None:
        self._to_browser, self._from_browser = to_browser, from_browser
        self._number = 0
        self._session: dict[str, Any] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self.call("DOM.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result; events in between are dropped."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Run JavaScript in the page, and return its value."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30) -> Any:
        """Wait until JavaScript gives something true, and return it."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"{expression} did not come true; the page says {self.text()}"
            time.sleep(0.05)
        return value

    def text(self) -> str:
        return str(self.evaluate("document.body.innerText"))

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into an input, as its user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _read(self) -> bytes:
        content = b""
        while (byte := self._from_browser.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            content += byte
        return content


@contextmanager
def running_chromium(profile: Path) -> Iterator[Browser]:
    """Run Chromium with an empty profile while the context lasts."""
    assert PROGRAM is not None
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()

    def as_chromium_expects() -> None:
        # Duplicated high first: 3 and 4 may be the very ends that are moved.
        high_commands, high_answers = os.dup2(commands_out, 103), os.dup2(answers_in, 104)
        os.dup2(high_commands, 3)
        os.dup2(high_answers, 4)

    process = subprocess.Popen(
        [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=as_chromium_expects,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    try:
        with os.fdopen(answers_out, "rb") as answers:
            yield Browser(commands_in, answers)
    finally:
        process.kill()
        process.wait()
        os.close(commands_in)
