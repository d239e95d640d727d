"""The addresses that the server listens on, and the limits of its settings."""

import socket

import pytest

from hf_vitret.workflows.serving.run_server import is_loopback, listen, url_of
from hf_vitret.workflows.serving.settings import ServingSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_addresses_that_others_reach(host: str) -> None:
    assert not is_loopback(host)


def test_a_listener_is_found_and_its_answers_are_not_held_back() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        assert listener.proto == socket.IPPROTO_TCP  # asyncio disables Nagle's algorithm only on such sockets


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", None), ("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_address_that_is_not_free_is_refused(host: str, port: int | None) -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="choose others with --host and --port"):
        listen(host, taken.getsockname()[1] if port is None else port)


@pytest.mark.parametrize("field", ["max_upload_bytes", "max_pixels", "max_batch", "max_waiting", "timeout"])
def test_limits_are_above_0(field: str) -> None:
    with pytest.raises(ValueError, match=f"expected {field} above 0; got 0"):
        ServingSettings(**{field: 0})
    with pytest.raises(ValueError, match="expected max_wait of at least 0; got -1"):
        ServingSettings(max_wait=-1)
    assert ServingSettings(max_wait=0).max_wait == 0
