"""Secrets go to servers encrypted or not at all, and stand in no address."""

import pytest

from hf_vitret.indexing.engines.locations import is_address, said_by, secret_for


def test_addresses():
    assert [is_address(place) for place in ("http://localhost:6333", "s3://bucket/path")] == [True, True]
    assert [is_address(place) for place in ("folder", "/a/b.db", "C:\\made")] == [False, False, False]


@pytest.mark.parametrize(
    "address",
    ["https://a.example.org:6333", "http://localhost:1", "http://127.0.0.1:1", "http://127.1.2.3:1", "http://[::1]:1"],
)
def test_secrets_that_may_travel(monkeypatch, address):
    monkeypatch.setenv("ENGINE_KEY", "very-secret")
    assert secret_for(address, "ENGINE_KEY") == "very-secret"
    monkeypatch.setenv("ENGINE_KEY", "")
    assert secret_for(address, "ENGINE_KEY") is None
    monkeypatch.delenv("ENGINE_KEY")
    assert secret_for(address, "ENGINE_KEY") is None


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example.org",
        "tcp://a.example.org:1",
        "http://10.0.0.1:1",
        "http://localhost.example.org",
        "http://[::2]:1",
    ],
)
def test_secrets_that_may_not(monkeypatch, address):
    monkeypatch.setenv("ENGINE_KEY", "very-secret")
    with pytest.raises(ValueError, match=r"would travel to .* unencrypted") as caught:
        secret_for(address, "ENGINE_KEY")
    assert "very-secret" not in str(caught.value)
    monkeypatch.delenv("ENGINE_KEY")
    assert secret_for(address, "ENGINE_KEY") is None


@pytest.mark.parametrize("address", ["https://user:very-secret@a.example.org", "https://very-secret@a.example.org"])
def test_passwords_in_addresses(address):
    with pytest.raises(ValueError, match="set ENGINE_KEY in the environment") as caught:
        secret_for(address, "ENGINE_KEY")
    assert "very-secret" not in str(caught.value)


def test_errors_say_which_engine():
    with pytest.raises(OSError, match=r"^Qdrant at somewhere: 'no'$"), said_by("Qdrant", "somewhere", KeyError):
        raise KeyError("no")
    with pytest.raises(TypeError, match=r"^another$"), said_by("Qdrant", "somewhere", KeyError):
        raise TypeError("another")
