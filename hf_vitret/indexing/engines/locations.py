"""The location of an engine, a folder or the address of a server, and the protection of its secrets."""

from __future__ import annotations

import os
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_address(location: str) -> bool:
    """Return whether a location is the address of a server and not a path."""
    return "://" in location


def secret_for(address: str, variable: str) -> str | None:
    """Return the secret for a server from an environment variable; None if it is not set.

    Args:
        address: Address of the server.
        variable: Name of the environment variable.

    Raises:
        ValueError: The address has a user or password, or the secret would be sent to another machine unencrypted.
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
            f"{variable} is set, and would travel to {parts.hostname} unencrypted: use an address with https://, or "
            f"unset {variable}"
        )
    return secret or None


@contextmanager
def said_by(engine: str, location: str, *kinds: type[Exception]) -> Iterator[None]:
    """Return a context that converts errors of an engine to an OSError that names the engine and its location.

    Raises:
        OSError: In place of an error of the given types.
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
