"""Requests are repeated while the Hub is busy, and not after errors that repeating does not mend."""

from collections.abc import Callable

import pytest
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from hf_vitret.hub import hub_client
from hf_vitret.hub.hub_client import with_retries


def refused(status: int, **headers: str) -> HfHubHTTPError:
    from huggingface_hub.utils import httpx

    request = httpx.Request("GET", "http://hub")
    return HfHubHTTPError(f"refused with {status}", response=httpx.Response(status, headers=headers, request=request))


def failing(errors: list[Exception]) -> Callable[[], str]:
    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return call


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits in seconds, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(hub_client.time, "sleep", seconds.append)
    return seconds


def test_waits_grow_and_the_hub_may_name_its_own(waits: list[float]) -> None:
    errors = [
        refused(500),
        refused(429, **{"Retry-After": "30"}),
        HTTPError("the connection was cut"),
        refused(503, **{"Retry-After": "9999"}),
        refused(429, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ]
    assert with_retries(failing(errors)) == "done"
    assert waits == [1.0, 30.0, 4.0, 300.0, 8.0]


def test_it_ends(waits: list[float]) -> None:
    errors: list[Exception] = [refused(502) for _ in range(6)]
    with pytest.raises(HfHubHTTPError, match="refused with 502"):
        with_retries(failing(errors))
    assert (waits, errors) == ([1.0, 2.0, 4.0, 8.0, 8.0], [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412])
def test_what_will_not_pass_is_not_repeated(waits: list[float], status: int) -> None:
    with pytest.raises(HfHubHTTPError, match=f"refused with {status}"):
        with_retries(failing([refused(status)]))
    assert waits == []


def test_other_errors_are_not_ours(waits: list[float]) -> None:
    with pytest.raises(KeyError):
        with_retries(failing([KeyError("bug")]))
    assert waits == []
