"""Failures on request: the n-th request of a route is refused, or its connection is cut."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .routing import ROUTES


@dataclass(frozen=True)
class Refuse:
    """Answer with this status in place of the route, as 401, 409, 429 (with `Retry-After`) or 500."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "refused by the stand-in"


@dataclass(frozen=True)
class CutRequest:
    """Close the connection when this many bytes of the request's body have been read: an upload that broke off."""

    after: int = 0


@dataclass(frozen=True)
class CutResponse:
    """Do what was asked, then close the connection after this many bytes of the answer's body.

    The client does not know whether its request was carried out: it was.
    """

    after: int = 0


Fault = Refuse | CutRequest | CutResponse


class Faults:
    """Which requests are to fail, and how."""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, int], Fault] = {}
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, route: str, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Let requests of a route fail.

        Args:
            route: Name of the route's function, as `"storage_upload"`.
            fault: What happens.
            nth: Which request of the route from now on, counted from 1, is the first to fail.
            times: How many fail, one after the other.
        """
        if route not in {known.name for known in ROUTES}:
            raise ValueError(f"no route {route!r}; there are {', '.join(known.name for known in ROUTES)}")
        with self._lock:
            first = self._seen[route] + nth
            self._planned.update({(route, first + more): fault for more in range(times)})

    def take(self, route: str) -> Fault | None:
        """Count a request and return the fault that is planned for it."""
        with self._lock:
            self._seen[route] += 1
            return self._planned.pop((route, self._seen[route]), None)

    def pending(self) -> list[str]:
        """List the faults that no request has met: a test that ends with one has not tested what it says."""
        return [f"{fault} at request {number} of {route}" for (route, number), fault in self._planned.items()]
