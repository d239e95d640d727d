"""The app behind a real server: its answers and limits, and no answer that reveals internals of the server."""

import datetime
import gc
import io
import json
import logging
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hf_vitret import embed_images
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.workflows.serving.app import create_app
from hf_vitret.workflows.serving.settings import ServingSettings
from tests.training.tiny_backbones import tiny

from .malformed import malformed_uploads, multipart_bodies
from .small_server import COLUMNS, NUM_PHOTOS, ask, encoded, photo, running, small_index, small_server

SETTINGS = ServingSettings(max_upload_bytes=200_000, max_pixels=1_000_000, max_batch=4, timeout=10, num_threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("very-private-folder")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[httpx.Client]:
    options: dict[str, Any] = {"columns": ["color", "price"], "allowed_hosts": ["127.0.0.1"]}
    with small_server(folder, image_dir=folder, settings=SETTINGS, **options) as client:
        yield client


@pytest.fixture(scope="module")
def similarities(server: httpx.Client) -> np.ndarray:
    """Compute the cosines of all pairs of images with `embed_images`."""
    embeddings = embed_images(tiny(embedding_dim=8), [photo(each) for each in range(NUM_PHOTOS)], progress=False)
    cosines: np.ndarray = (embeddings @ embeddings.T).numpy()
    return cosines


def rows(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(each["id"][:2]) for each in answer.json()["results"]]


def test_a_search_finds_what_is_nearest(server: httpx.Client, similarities: np.ndarray) -> None:
    answer = ask(server, encoded(photo(3)), k=5)
    order = np.argsort(-similarities[3])[:5]
    assert rows(answer) == order.tolist()
    results = answer.json()["results"]
    np.testing.assert_allclose([each["score"] for each in results], similarities[3][order], atol=2e-6)
    assert [each["rank"] for each in results] == [1, 2, 3, 4, 5]
    assert results[0]["metadata"] == {"color": "blue", "price": 3}


def test_conditions_and_a_least_score(server: httpx.Client, similarities: np.ndarray) -> None:
    allowed = [row for row in range(NUM_PHOTOS) if COLUMNS["color"][row] == "red" and row < 8]
    order = sorted(allowed, key=lambda row: -similarities[3][row])
    assert rows(ask(server, encoded(photo(3)), where=["color=red", "price<8"])) == order
    least = float(np.sort(similarities[3])[-4]) - 1e-4
    assert len(rows(ask(server, encoded(photo(3)), min_score=least))) == 4
    assert rows(ask(server, encoded(photo(3)), min_score=1.5)) == []


def test_many_at_once_find_what_each_finds_alone(server: httpx.Client, similarities: np.ndarray) -> None:
    numbers = [number % NUM_PHOTOS for number in range(60)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda number: rows(ask(server, encoded(photo(number)), k=12)), numbers))
    assert answers == [np.argsort(-similarities[number]).tolist() for number in numbers]
    batches = [line for line in server.get("/metrics").text.splitlines() if line.startswith("hf_vitret_batch_images")]
    steps, images = (float(line.split()[1]) for line in (batches[-1], batches[-2]))
    assert steps < images


def test_thumbnails_are_requested_by_row_alone(server: httpx.Client) -> None:
    for each in ask(server, encoded(photo(5)), k=3).json()["results"]:
        answer = server.get("/" + each["image"])
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as picture:
            shown = np.asarray(picture.convert("RGB"), dtype=float)
        assert np.abs(shown - np.asarray(photo(int(each["id"][:2])), dtype=float)).mean() < 20
    for row, status in {
        "12": 404,
        "-1": 404,
        "9" * 40: 404,
        "x": 422,
        "..%2F..%2Fetc%2Fpasswd": 404,
        "00%20%C3%BC&.png": 422,
    }.items():
        assert server.get(f"/images/{row}").status_code == status, row


def test_names_of_files_are_never_used(server: httpx.Client) -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "C:\\a.png", "a.svg", "\u202egnp.exe", "x" * 3_000, 'a"; name="k'):
        assert rows(ask(server, encoded(photo(3)), name, k=1)) == [3]


def test_health_and_the_description(server: httpx.Client) -> None:
    assert server.get("/health").json() == {
        "status": "ok", "num_images": 12, "dim": 8, "model": "tiny", "revision": None
    }  # fmt: skip
    paths = server.get("/openapi.json").json()["paths"]
    assert sorted(paths) == ["/health", "/images/{row}", "/metrics", "/search"]
    assert {"200", "413", "415", "422", "503", "504"} <= set(paths["/search"]["post"]["responses"])
    assert server.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("content", "fields", "status", "message"),
    [
        (b"", {}, 422, "the file is empty"),
        (b"<svg/>", {}, 415, "expected an image; the file is SVG"),
        (encoded(photo(1))[:300], {}, 422, "the PNG file is damaged or cut short"),
        (encoded(Image.new("L", (2_000, 501))), {}, 413, "at most 1,000,000 pixels; got 2000 x 501"),
        (b"x" * 200_000, {}, 413, "expected an upload of at most 0.190735 MiB; got more"),
        (encoded(photo(1)), {"k": 0}, 422, "k: "),
        (encoded(photo(1)), {"k": 101}, 422, "k: "),
        (encoded(photo(1)), {"k": "<b>"}, 422, "k: "),
        (encoded(photo(1)), {"min_score": "nan"}, 422, "min_score: "),
        (encoded(photo(1)), {"where": "color"}, 422, "expected a condition such as color=red"),
        (encoded(photo(1)), {"where": "price<x"}, 422, "expected a value of type int64"),
        (encoded(photo(1)), {"where": ["price<9"] * 11}, 422, "where: "),
        (encoded(photo(1)), {"where": "color=" + "x" * 1_000}, 422, "where 0: "),
        # Columns that are not shown cannot be used in conditions.
        (encoded(photo(1)), {"where": "secret=x"}, 422, "expected a column of image_id, color, price in"),
        (encoded(photo(1)), {"where": "path>a"}, 422, "expected a column of image_id, color, price in"),
    ],
)
def test_refusals_have_a_message(
    server: httpx.Client, content: bytes, fields: dict[str, Any], status: int, message: str
) -> None:
    answer = ask(server, content, **fields)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert message in answer.json()["error"]


# starlette does not close the file of an incomplete part; the garbage collector closes it and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_malformed_uploads_are_each_a_4xx_without_a_path(server: httpx.Client, folder: Path) -> None:
    answers = [(name, ask(server, content)) for name, content in malformed_uploads(60, seed=2)]
    answers += [
        (name, server.post("/search", content=body, headers={"Content-Type": kind.encode("latin-1")}))
        for name, kind, body in multipart_bodies(seed=2)
    ]
    for name, answer in answers:
        assert 400 <= answer.status_code < 500, name
        assert answer.json()["error"], name
        assert not any(word in answer.text for word in (folder.name, "/tmp", "site-packages", "Traceback", "0x")), name
    assert rows(ask(server, encoded(photo(3)), k=1)) == [3]
    gc.collect()


def test_a_site_whose_name_leads_here_is_refused(server: httpx.Client) -> None:
    assert server.get("/health", headers={"Host": "evil.example"}).status_code == 400


def test_an_error_of_the_server_says_nothing_and_is_logged(
    server: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = server.app.state.parts.search  # type: ignore[attr-defined]

    def failing(*arguments: Any) -> Any:
        raise RuntimeError("the disk /srv/private is gone")

    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(search, "_search", failing)
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "error", lambda *args, **options: logged.append(options))
    answer = ask(server, encoded(photo(3)))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert "private" not in answer.text
    end = time.monotonic() + 10
    while not logged and time.monotonic() < end:  # the error is logged after the answer is sent
        time.sleep(0.01)
    assert "/srv/private" in str(logged[0]["exc_info"])
    monkeypatch.undo()
    assert rows(ask(server, encoded(photo(3)), k=1)) == [3]


def test_a_search_that_takes_too_long_is_a_504_and_one_too_many_a_503(tmp_path: Path) -> None:
    settings = ServingSettings(timeout=0.4, max_waiting=1, num_threads=1)
    with small_server(tmp_path, settings=settings) as client:
        encoder = client.app.state.parts.search._encoder  # type: ignore[attr-defined]
        inside, leave, encode = threading.Event(), threading.Event(), encoder.encode

        def slow(pixels: Any) -> Any:
            inside.set()
            leave.wait(30)
            return encode(pixels)

        encoder.encode = slow
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(ask, client, encoded(photo(3)))
            assert inside.wait(10)
            second = ask(client, encoded(photo(3)))
            assert (second.status_code, second.headers["retry-after"]) == (503, "1")
            assert first.result().status_code == 504
            assert "too long" in first.result().json()["error"]
        leave.set()
        encoder.encode = encode
        assert rows(ask(client, encoded(photo(3)), k=1)) == [3]
        lines = client.get("/metrics").text.splitlines()
        assert 'hf_vitret_requests_total{path="/search",status="504"} 1' in lines
        assert "hf_vitret_searches_in_progress 0" in lines


def test_metadata_that_json_does_not_have_and_no_pictures(tmp_path: Path) -> None:
    model = tiny(embedding_dim=8)
    embeddings = embed_images(model, [photo(1), photo(2)], progress=False)
    metadata = pa.table({"day": [datetime.date(2020, 2, 29), None], "weight": [math.nan, math.inf]})
    index = ImageIndex.build(embeddings, [7, 8], metadata=metadata, backend="torch")
    app = create_app(index, model, min_score=0.99, allowed_hosts=["localhost", "127.0.0.1"])
    with running(app) as url, httpx.Client(base_url=url) as client:
        [first] = ask(client, encoded(photo(1))).json()["results"]
        [second] = ask(client, encoded(photo(2))).json()["results"]
        assert client.get("/images/0").status_code == 404
    assert first["metadata"] == {"day": "2020-02-29", "weight": None}
    assert second["metadata"] == {"day": None, "weight": None}
    assert (first["id"], second["id"], first["image"]) == (7, 8, None)


def test_what_does_not_fit_together_is_refused_before_it_starts(tmp_path: Path) -> None:
    model = tiny(embedding_dim=8)
    index = small_index(tmp_path, model)
    with pytest.raises(ValueError, match=r"got those of other: .*other weights"):
        create_app(index, tiny(embedding_dim=9), identity=ModelIdentity.of(tiny(embedding_dim=9), name="other"))
    index.manifest = ImageIndex.build(np.eye(8, dtype=np.float32), range(8), backend="torch").manifest
    with pytest.raises(ValueError, match="have 8 dimensions, as those of the index; got 9"):
        create_app(index, tiny(embedding_dim=9))
    with pytest.raises(ValueError, match="expected columns of the index, color, price, secret; got size"):
        create_app(index, model, columns=["size"])
    with pytest.raises(FileNotFoundError, match="expected the folder of the images"):
        create_app(index, model, image_dir=tmp_path / "none")
    without = ImageIndex.build(np.eye(8, dtype=np.float32), range(8), backend="torch")
    with pytest.raises(
        ValueError, match="expected an index with the column path, to find the images for thumbnails; it has none"
    ):
        create_app(without, model, image_dir=tmp_path)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_vitret.workflows.serving.app.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"hf_vitret\[serve\]"):
        create_app(None, None)  # type: ignore[arg-type]


def test_answers_are_json_of_text_as_it_is(server: httpx.Client) -> None:
    text = ask(server, encoded(photo(3)), k=1).text
    assert "03 ü&.png" in text
    assert json.loads(text)["results"][0]["id"] == "03 ü&.png"
