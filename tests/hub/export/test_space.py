"""The Space runs as written: an image that is uploaded in a browser gets its nearest neighbours shown."""

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub import RepoCard
from safetensors.torch import load_file

from hf_vitret import ViTRetModel, embed_images
from hf_vitret.hub.export import space as space_module
from hf_vitret.hub.export.space import write_space
from tests.chromium import PROGRAM, running_chromium
from tests.training.runs import draw
from tests.training.tiny_backbones import tiny
from tests.warm_process import run_warm

NAMES = ["cup", "fan", "mug", "sofa"]
TITLE = 'Visual search: "shapes" & more'
# Runs the app without hf_vitret, as a Space does, until the file of the first argument exists.
APP = """
import os, runpy, sys, threading, time
sys.modules["hf_vitret"] = None
def wait_for_file():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    os._exit(0)
threading.Thread(target=wait_for_file, daemon=True).start()
runpy.run_path("app.py", run_name="__main__")
"""
# Whether all images are fully visible, not cut off by the window or by the box around them.
ALL_SEEN = """(() => {
    const box = document.querySelector('.grid-wrap').closest('.block').getBoundingClientRect();
    return [...document.querySelectorAll('.grid-wrap img')].every(image => {
        const shown = image.getBoundingClientRect();
        return shown.width > 100 && shown.left >= box.left && shown.right <= Math.min(box.right, innerWidth)
            && shown.bottom <= box.bottom;
    });
})()"""
CAPTIONS = "[...document.querySelectorAll('.caption-label')].map(label => label.textContent.trim())"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Draw twelve images of four classes."""
    rows = {
        "image": [draw(row // 3, row) for row in range(12)],
        "label": [row // 3 for row in range(12)],
    }
    return Dataset.from_dict(rows, features=Features(image=Image(), label=ClassLabel(names=NAMES)))


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny(embedding_dim=6).save_pretrained(folder)
    return write_space(folder, dataset, title=TITLE, num_shown=5)


def test_the_index_is_that_of_the_model_and_the_header_is_read(space: Path, dataset: Dataset) -> None:
    embeddings = embed_images(ViTRetModel.from_pretrained(space.parent), dataset, progress=False)
    assert torch.equal(load_file(space / "embeddings.safetensors")["embeddings"], embeddings)
    header = RepoCard.load(space / "README.md").data.to_dict()
    assert (header["title"], header["sdk"], header["app_file"]) == (TITLE, "gradio", "app.py")
    assert "models" not in header
    table = Dataset.from_parquet(str(space / "images.parquet"))
    assert table["label"][:] == [NAMES[row // 3] for row in range(12)]
    for thumbnail in table.cast_column("thumbnail", Image())["thumbnail"]:
        assert max(thumbnail.size) <= space_module.SIDE


def test_a_space_on_the_hub_names_its_model(space: Path, dataset: Dataset, tmp_path: Path) -> None:
    ViTRetModel.from_pretrained(space.parent).save_pretrained(tmp_path)
    plain = dataset.select(range(2)).cast_column("label", Value("int64"))
    other = write_space(tmp_path, plain, title="x", repo_id="ada/tiny", revision="v1")
    assert RepoCard.load(other / "README.md").data.to_dict()["models"] == ["ada/tiny"]
    settings = json.loads((other / "space.json").read_text())
    assert (settings["model"], settings["revision"]) == ("ada/tiny", "v1")
    assert Dataset.from_parquet(str(other / "images.parquet"))["label"][:] == ["0", "0"]


def test_what_is_no_checkpoint_and_what_does_not_fit_is_refused(
    space: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"it has no config\.json"):
        write_space(tmp_path, dataset, title="x")
    monkeypatch.setattr(space_module, "MAX_INDEXED", 11)
    with pytest.raises(ValueError, match=r"expected 1 to 11 images to search; got 12"):
        write_space(space.parent, dataset, title="x")


@contextmanager
def running_app(space: Path, home: Path) -> Iterator[Callable[[], str]]:
    """Run the app inside the `with` block; yield a function that waits until it answers and returns its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "HF_HOME": str(home / "hf"),
    }
    ended: list[subprocess.CompletedProcess[str]] = []
    run = threading.Thread(
        target=lambda: ended.append(run_warm(APP, home / "stop", environment=environment, folder=space))
    )

    def address() -> str:
        end = time.monotonic() + 120
        while True:
            assert not ended, ended[0].stderr
            assert time.monotonic() < end, "the app has not come up"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return f"http://127.0.0.1:{port}"

    run.start()
    try:
        yield address
    finally:
        (home / "stop").touch()
        run.join()


@pytest.mark.skipif(PROGRAM is None, reason="NO BROWSER: the Space is not tried; install Debian's chromium")
@pytest.mark.skipif(
    find_spec("gradio") is None, reason='NO GRADIO: the Space is not tried; pip install "hf_vitret[space]"'
)
def test_an_image_uploaded_in_a_browser_shows_its_neighbors(space: Path, dataset: Dataset, tmp_path: Path) -> None:
    upload = tmp_path / "query.png"
    dataset[4]["image"].save(upload)
    with running_app(space, tmp_path) as address, running_chromium(tmp_path / "profile") as browser:
        browser.open(address())
        browser.wait_for("document.querySelector('input[type=file]') !== null")
        browser.choose_file("input[type=file]", upload)
        captions = browser.wait_for(f"({CAPTIONS}).length == 5 && {CAPTIONS}")
        title = browser.evaluate("document.title")
        heading = browser.evaluate("document.querySelector('h1').textContent")
        loaded = browser.wait_for(
            "(() => { const shown = [...document.querySelectorAll('.grid-wrap img')];"
            " return shown.length == 5 && shown.every(image => image.complete && image.naturalWidth > 0); })()"
        )
        browser.wait_for(ALL_SEEN)
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        browser.wait_for(f"innerWidth == 390 && {ALL_SEEN}")
    embeddings = load_file(space / "embeddings.safetensors")["embeddings"]
    scores, rows = (embeddings @ embeddings[4]).topk(5)
    assert [re.split(r"\s+", caption) for caption in captions] == [
        [NAMES[row // 3], f"{score:.3f}"] for score, row in zip(scores.tolist(), rows.tolist())
    ]
    assert title == heading == TITLE
    assert loaded
