"""Which function answers which address."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from .messages import HubError, Request, Response
from .store import Store

Handler = Callable[[Store, Request], Response]


@dataclass(frozen=True)
class Route:
    """One kind of request; faults and records call it by the name of its function."""

    name: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    on_storage: bool


ROUTES: list[Route] = []
# "{kind}" says in the addresses of the API what a repository is, "{prefix}" in those of the web; "{repo}" is its id.
_PARTS = {
    "{kind}": "(?P<kind>model|dataset|space)s",
    "{repo}": "(?P<repo>[^/]+/[^/]+?)",
    "{prefix}": "(?:(?P<kind>dataset|space)s/)?",
    "{revision}": "(?P<revision>[^/]+)",
    "{path}": "(?P<path>.+)",
    "{name}": "(?P<name>[^/]+)",
    "{oid}": "(?P<oid>[0-9a-f]{64})",
}


def route(method: str, address: str, *, on_storage: bool = False) -> Callable[[Handler], Handler]:
    """Register a function for a method and an address; `{...}` are the parts of `_PARTS`."""
    for part, pattern in _PARTS.items():
        address = address.replace(part, pattern)

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(handler.__name__, method, re.compile(address), handler, on_storage))
        return handler

    return register


def find_route(request: Request, on_storage: bool) -> Route:
    """Find the route of a request and note the named parts in it.

    Raises:
        HubError: 404: this address is not served; nothing is guessed.
    """
    method = "GET" if request.method == "HEAD" else request.method
    for known in ROUTES:
        match = known.pattern.fullmatch(request.path)
        if match and known.method == method and known.on_storage == on_storage:
            request.names = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
            return known
    raise HubError(404, f"the Hub stand-in has no route {request.method} {request.path}")
