"""Middleware that counts and times requests, and adds security headers to their answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .metrics import Metrics

SEARCH_PATH = "/search"
IMAGES_PATH = "/images"
_PATHS = frozenset({"/", SEARCH_PATH, "/health", "/metrics", "/openapi.json"})
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]


class RequestLog:
    """ASGI middleware that counts and times requests, and adds security headers to the answers.

    Args:
        app: The app to wrap.
        metrics: The counters to add requests to.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500  # the status of a request that ends without an answer

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            path = _path_label(scope["path"])
            seconds = time.perf_counter() - start if path == SEARCH_PATH else None
            self._metrics.add_request(path, status, seconds)


def _path_label(path: str) -> str:
    if path.startswith(IMAGES_PATH + "/"):
        return IMAGES_PATH
    return path if path in _PATHS else "other"
