"""`hf-vitret serve` from the command line to its end by a signal, and what it refuses to start with."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from hf_vitret.cli.main import main
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.image_index import ImageIndex
from tests.training.tiny_backbones import tiny
from tests.warm_process import run_warm
from tests.workflows.serving.small_server import ask, encoded, photo, small_index

# Once the server is asked, the model takes its time: a signal comes meanwhile.
PROGRAM = """
import os, pathlib, sys, time
from hf_vitret.cli.main import main
from hf_vitret.embedding.image_encoder import ImageEncoder
encode = ImageEncoder.encode
def slow(self, pixels):
    if pathlib.Path("asked").exists():
        pathlib.Path("inside").touch()
        time.sleep(0.7)
    return encode(self, pixels)
ImageEncoder.encode = slow
pathlib.Path("pid").write_text(str(os.getpid()))
sys.exit(main(sys.argv[1:]))
"""


# Ctrl-C at a place of uvicorn's start; the server must end by itself, and say so by KeyboardInterrupt.
EARLY = """
import functools, os, signal, sys
import uvicorn, uvicorn.lifespan.on
from fastapi import FastAPI
from hf_vitret.workflows.serving.run_server import listen, run_server
from hf_vitret.workflows.serving.settings import ServingSettings
*owners, name = sys.argv[1].split(".")
owner = functools.reduce(getattr, owners, uvicorn)
original = getattr(owner, name)
def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return original(*arguments)
setattr(owner, name, interrupted)
try:
    with listen("127.0.0.1", 0) as listener:
        run_server(FastAPI(), listener, ServingSettings())
except KeyboardInterrupt:
    print("ended")
    sys.exit(130)
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageIndex:
    monkeypatch.chdir(tmp_path)
    model = tiny(embedding_dim=8)
    model.save_pretrained("model")
    Path("photos").mkdir()
    made = small_index(Path("photos"), model)
    made.save("index")
    return made


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status", "left"),
    [
        (signal.SIGTERM, 0, ""),
        (
            signal.SIGINT,
            130,
            "\ninterrupted: the server has finished the requests that it had begun, and keeps nothing\n",
        ),
    ],
)
def test_it_serves_until_a_signal_and_finishes_what_runs(
    index: ImageIndex, tmp_path: Path, number: int, status: int, left: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended: list[subprocess.CompletedProcess[str]] = []
    arguments = ["serve", "index", "--model", "model", "--image_dir", "photos", "--port", str(port)]
    run = threading.Thread(target=lambda: ended.append(run_warm(PROGRAM, *arguments, folder=tmp_path)))
    run.start()

    def answers() -> bool:
        assert not ended, ended[0].stderr
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400
        Path("asked").touch()
        results: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: results.append(ask(client, encoded(photo(3)), k=1)))
        asking.start()
        wait_until(Path("inside").exists)
        os.kill(int(Path("pid").read_text()), number)
        asking.join()
    run.join()
    assert results[0].json()["results"][0]["id"].startswith("03")
    assert (ended[0].returncode, ended[0].stderr) == (status, left)
    first, second, last = ended[0].stdout.splitlines()
    assert first == "12 images, searched with model, for this machine only. Ctrl-C ends it."
    assert f"http://127.0.0.1:{port}/health" in second
    assert last == f"Page: http://127.0.0.1:{port}"


def test_ctrl_c_before_the_server_is_up_ends_it_too(tmp_path: Path) -> None:
    """The signal comes while the app starts: before uvicorn listens to signals, and while it does."""
    for place in ("Config.load", "lifespan.on.LifespanOn.startup"):
        result = run_warm(EARLY, place, folder=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (130, "ended\n", ""), place


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Make an index by the commands, with its model and images in `work`, and go elsewhere; give what is served."""
    work = tmp_path / "work"
    (work / "photos").mkdir(parents=True)
    for number in range(3):
        photo(number).save(work / "photos" / f"{number}.png")
    tiny(embedding_dim=8).save_pretrained(work / "model")
    monkeypatch.chdir(work)
    assert main(["embed", "photos", "--model", "model", "--output_dir", "E"]) == 0
    assert main(["index", "E", "--output_dir", "index"]) == 0
    monkeypatch.chdir(tmp_path)
    served: list[Any] = []
    monkeypatch.setattr("hf_vitret.workflows.serving.run_server.run_server", lambda *given: served.append(given))
    return served


def test_the_index_knows_its_model_and_its_pictures(noted: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["serve", "work/index", "--port", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = Path("work/model").absolute()
    assert lines[0] == f"3 images, searched with {model}, for this machine only. Ctrl-C ends it."
    thumbnails = noted[0][0].state.parts.thumbnails
    assert all(thumbnails.jpeg(row) is not None for row in range(3))


def test_pictures_that_have_gone_are_left_out(noted: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    photos = Path("work/photos").absolute()
    photos.rename("moved")
    capsys.readouterr()
    assert main(["serve", "work/index", "--port", "0"]) == 0
    assert f"No pictures are shown: the images of the index are not in {photos} any more." in capsys.readouterr().out
    assert not noted[0][0].state.parts.thumbnails.are_there
    assert main(["serve", "work/index", "--port", "0", "--image_dir", "moved", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("Page: http://127.0.0.1:")
    assert noted[1][0].state.parts.thumbnails.are_there


def test_a_missing_extra_is_named_with_its_pip_command(
    index: ImageIndex, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hf_vitret.workflows.serving.app.find_spec", lambda name: None)
    assert main(["serve", "index", "--model", "model"]) == 2
    assert capsys.readouterr() == (
        "",
        'error: Serving needs fastapi, uvicorn and python-multipart: pip install "hf_vitret[serve]"\n',
    )


def test_that_others_reach_it_is_said(
    index: ImageIndex, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("hf_vitret.workflows.serving.run_server.run_server", lambda *given: served.append(given))
    arguments = ["--host", "0.0.0.0", "--port", "0", "--min_score", "0.5", "--max_upload", "1MiB", "--max_wait", "0.25"]
    assert main(["serve", "index", "--model", "model", *arguments, "--columns", "color"]) == 0
    assert "for EVERY MACHINE THAT REACHES IT, without accounts or encryption" in capsys.readouterr().out
    app, _, settings = served[0]
    assert (settings.max_upload_bytes, settings.max_wait) == (2**20, 0.25)
    search = app.state.parts.search
    assert (search.min_score, search.columns) == (0.5, ["color"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index"], "expected --model: the model of the index, tiny, has no known folder"),
        (["photos", "--model", "model"], "photos is no index"),
        (
            ["index", "--model", "other"],
            "expected embeddings of the model that made the index, tiny; got those of other",
        ),
        (["index", "--model", "model", "--image_dir", "nowhere"], "nowhere is none"),
        (["index", "--model", "model", "--columns", "size"], "expected columns of the index, color, price, secret"),
        (
            ["index", "--model", "model", "--false_match_rate", "0.1"],
            "expected an index with match rates",
        ),
        (["index", "--model", "model", "--timeout", "0"], "expected timeout above 0; got 0"),
        (["index", "--model", "model", "--host", "192.0.2.1"], "choose others with --host and --port"),
    ],
)
def test_bad_input_is_a_message(
    index: ImageIndex, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    other = tiny(embedding_dim=8)
    next(other.parameters()).data += 1
    other.save_pretrained("other")
    assert main(["serve", "--port", "0", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_another_processor_is_named(index: ImageIndex, capsys: pytest.CaptureFixture[str]) -> None:
    assert index.manifest.model is not None
    model = tiny(embedding_dim=8, resize_size=40)
    model.save_pretrained("resized")
    assert ModelIdentity.of(model).weights_sha256 == index.manifest.model.weights_sha256
    assert main(["serve", "index", "--model", "resized", "--port", "0"]) == 2
    assert "other image processor" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    assert re.search(r"^  hf-vitret serve index$", text, re.MULTILINE)
    assert "(default: 127.0.0.1)" in text
