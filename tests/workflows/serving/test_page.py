"""The page in a browser, in a desktop window and on the screen of a phone."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from hf_vitret.workflows.serving.settings import ServingSettings
from hf_vitret.workflows.serving.uploads import FORMAT_NAMES
from tests.chromium import PROGRAM, Browser, running_chromium

from .small_server import ask, encoded, photo, small_server

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="NO BROWSER: the page is not tried; install Debian's chromium")

NAMES = "[...document.querySelectorAll('.hits .id')].map(each => each.textContent)"
SCORES = "[...document.querySelectorAll('.hits .score')].map(each => each.textContent)"
STATUS = "document.getElementById('status')"
LOADED = "[...document.images].filter(image => !image.hidden).every(image => image.complete && image.naturalWidth > 0)"
NOTHING_WIDER = """[...document.querySelectorAll('body *')].every(each => {
    const box = each.getBoundingClientRect();
    return box.left >= 0 && box.right <= innerWidth;
}) && document.documentElement.scrollWidth <= innerWidth"""
# Dispatches the event of a file that is dropped on the page.
DROP = """(() => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(%s)], "dropped.png", {type: "image/png"}));
    document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
})()"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("photos")
    settings = ServingSettings(max_upload_bytes=2**20, timeout=20)
    title = "Shapes & <colours>"
    with small_server(folder, image_dir=folder, settings=settings, title=title, columns=["color", "price"]) as client:
        yield client


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


def open_page(browser: Browser, server: httpx.Client) -> None:
    browser.open(str(server.base_url))
    browser.wait_for("document.readyState == 'complete' && document.getElementById('file') !== null")


def test_the_page_refers_to_nothing_outside_itself(server: httpx.Client) -> None:
    answer = server.get("/")
    assert not re.findall(r"""(?:https?:)?//\w[\w.]*\.\w+|@import|url\(""", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_an_image_that_is_chosen_or_dropped_shows_what_is_near(
    server: httpx.Client, browser: Browser, tmp_path: Path, width: int, height: int
) -> None:
    is_phone = width < 500
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)
    open_page(browser, server)
    assert browser.evaluate("document.title") == "Shapes & <colours>"
    assert browser.evaluate("document.querySelector('h1').textContent") == "Shapes & <colours>"
    assert browser.evaluate(NOTHING_WIDER)
    (tmp_path / "query.jpg").write_bytes(encoded(photo(4, side=480), "JPEG", quality=95))
    browser.choose_file("#file", tmp_path / "query.jpg")
    browser.wait_for(f"{NAMES}.length == 12 && {LOADED}")
    expected = ask(server, (tmp_path / "query.jpg").read_bytes()).json()["results"]
    assert browser.evaluate(NAMES) == [each["id"] for each in expected]
    np.testing.assert_allclose(
        [float(each) for each in browser.evaluate(SCORES)], [each["score"] for each in expected], atol=1e-4
    )
    assert browser.evaluate(f"{STATUS}.textContent") == "12 images found."
    assert browser.evaluate(NOTHING_WIDER)
    assert browser.evaluate("!document.getElementById('query').hidden")
    browser.evaluate(DROP % list(encoded(photo(7))))
    browser.wait_for(f"{NAMES}[0] == '07 ü&.png' && {LOADED}")
    browser.screenshot(tmp_path / f"page-{width}.png")


def test_errors_are_shown(server: httpx.Client, browser: Browser, tmp_path: Path) -> None:
    open_page(browser, server)
    cases = {
        "empty.png": (b"", "Expected an image; the file is empty. Send another file."),
        "drawing.svg": (
            b"<svg/>",
            f"Expected an image; the file is SVG, which is a vector drawing. Send an image in {FORMAT_NAMES}.",
        ),
        "half.png": (
            encoded(photo(1))[:300],
            "Expected a complete image; the PNG file is damaged or cut short. Send another file.",
        ),
        "large.png": (b"x" * 2**20 + b"x", "The file is too large: at most 1 MiB are accepted."),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        browser.choose_file("#file", tmp_path / name)
        browser.wait_for(f"{STATUS}.textContent == {message!r} && {STATUS}.className == 'bad'")
        assert browser.evaluate(NAMES) == []
    (tmp_path / "whole.png").write_bytes(encoded(photo(1)))
    browser.choose_file("#file", tmp_path / "whole.png")
    browser.wait_for(f"{NAMES}.length == 12 && {STATUS}.className == ''")


def test_a_spinner_turns_during_a_search_and_a_missing_answer_is_shown(
    server: httpx.Client, browser: Browser, tmp_path: Path
) -> None:
    open_page(browser, server)
    (tmp_path / "whole.png").write_bytes(encoded(photo(1)))
    # A request that waits until the test makes it fail.
    browser.evaluate("window.fetch = () => new Promise((_, reject) => { window.fail = reject; })")
    browser.choose_file("#file", tmp_path / "whole.png")
    browser.wait_for(f"{STATUS}.className == 'busy' && {STATUS}.textContent == 'Searching …'")
    assert browser.evaluate(f"getComputedStyle({STATUS}, '::before').animationName") == "turn"
    browser.evaluate("fail(new TypeError('Failed to fetch'))")
    browser.wait_for(f"{STATUS}.textContent.startsWith('The server cannot be reached')")
    assert browser.evaluate(f"{STATUS}.className") == "bad"


def test_a_search_without_matches_says_so(browser: Browser, tmp_path: Path) -> None:
    with small_server(tmp_path, min_score=2.0) as server:
        open_page(browser, server)
        (tmp_path / "whole.png").write_bytes(encoded(photo(1)))
        browser.choose_file("#file", tmp_path / "whole.png")
        browser.wait_for("document.body.innerText.includes('Nothing in the index matches this image.')")
