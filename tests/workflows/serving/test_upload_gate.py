"""Uploads beyond the limits are not read further, however they are sent, and the client gets an answer."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from hf_vitret.workflows.serving.settings import ServingSettings

from .small_server import ask, encoded, photo, small_server

MAX_BYTES = 50_000
HEAD = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=XX\r\n"
FIRST = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = ServingSettings(max_upload_bytes=MAX_BYTES, upload_timeout=0.5)
    with small_server(tmp_path_factory.mktemp("photos"), settings=settings) as client:
        yield client


def connect(server: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.base_url.port), timeout=10)


def whole_answer(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = b""
    while piece := connection.recv(65_536):
        content += piece
    return content


def test_a_length_that_is_too_large_is_refused_before_any_of_it_comes(server: httpx.Client) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + f"Content-Length: {MAX_BYTES + 1}\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_without_a_length_it_is_refused_as_soon_as_it_is_too_much(server: httpx.Client) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = FIRST + b"x" * 10_000
        answer, num_sent = b"", 0
        connection.settimeout(0.05)
        while not answer and num_sent < 20 * MAX_BYTES:
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            num_sent += len(piece)
            piece = b"x" * 10_000
            try:
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert MAX_BYTES < num_sent < MAX_BYTES + 30_000


def test_who_sends_it_all_at_once_still_reads_the_answer(server: httpx.Client) -> None:
    for _ in range(3):
        answer = ask(server, b"x" * (100 * MAX_BYTES))
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_slow_upload_ends(server: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_vitret.workflows.serving.upload_gate.DRAIN_SECONDS", 0.1)
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + FIRST)
        start = time.monotonic()
        answer = whole_answer(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"expected the whole upload within 0.5 seconds; it took longer" in answer
        assert 0.4 < time.monotonic() - start < 5


def test_who_leaves_in_the_middle_is_not_counted_for_ever(server: httpx.Client) -> None:
    for _ in range(3):
        with connect(server) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + FIRST)
    assert ask(server, encoded(photo(1)), k=1).status_code == 200
    end = time.monotonic() + 5
    while "hf_vitret_searches_in_progress 0\n" not in server.get("/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("length", [b"-1", b"x", b"1e3", b"9" * 5_000])
def test_a_length_that_is_none_is_a_4xx(server: httpx.Client, length: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
        assert connection.recv(65_536).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
