"""Where an engine is, a folder or the address of a server, and what keeps its secrets out of addresses and reports."""

from __future__ import annotations

import os
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_address(location: str) -> bool:
    """Tell the address of a server from a path."""
    return "://" in location


def secret_for(address: str, variable: str) -> str | None:
    """Return the secret of an environment variable, if it is set, to be sent to a server.

    Raises:
        ValueError: The address holds a password; or the secret would travel to another machine unencrypted.
    """
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise ValueError(
            f"expected an address without a user or password, which commands and reports would show: set {variable} in "
            "the environment"
        )
    secret = os.environ.get(variable)
    if secret and parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
        raise ValueError(
            f"{variable} is set, and would travel to {parts.hostname} unencrypted: take an address with https://, or "
            f"unset {variable}"
        )
    return secret or None


@contextmanager
def said_by(engine: str, location: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn the engine's own errors into one that says which engine, and where.

    Raises:
        OSError: In place of any of those kinds.
    """
    try:
        yield
    except kinds as error:
        raise OSError(f"{engine} at {location}: {error}") from error


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
