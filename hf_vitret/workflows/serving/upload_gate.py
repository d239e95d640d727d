"""Middleware that limits uploads: their number at the same time, their size, and the time that they take."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .request_log import SEARCH_PATH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .settings import ServingSettings

RETRY_AFTER = "1"  # seconds
# Seconds for which the rest of a refused upload is read and discarded. A connection that is closed with unread bytes is
# reset, and the client would not receive the answer.
DRAIN_SECONDS = 2.0


@dataclass
class InProgress:
    """The number of searches in progress.

    Attributes:
        count: The number.
    """

    count: int = 0


class UploadGate:
    """ASGI middleware that refuses uploads beyond the limits, and reads none of them further than needed.

    Args:
        app: The app to wrap.
        settings: The limits.
        in_progress: The counter of searches in progress, which is updated.
    """

    def __init__(self, app: ASGIApp, settings: ServingSettings, in_progress: InProgress) -> None:
        self._app, self._settings, self._in_progress = app, settings, in_progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != SEARCH_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, send, self._settings)
        try:
            if self._in_progress.count >= self._settings.max_waiting:
                raise body.refusal(
                    503,
                    f"expected at most {self._settings.max_waiting} searches at once; that many are in progress. Try "
                    f"again in {RETRY_AFTER} second",
                    {"Retry-After": RETRY_AFTER},
                )
            body.check_declared(dict(scope["headers"]).get(b"content-length"))
        except HTTPException as refusal:
            answer = JSONResponse({"error": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, body.receive, body.send)
            return
        self._in_progress.count += 1
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self._in_progress.count -= 1


class _Body:
    """The body of one request, whose bytes are counted as they arrive, and the answer to the request."""

    def __init__(self, receive: Receive, send: Send, settings: ServingSettings) -> None:
        self._receive, self._send, self._settings = receive, send, settings
        self._num_bytes, self._end = 0, time.monotonic() + settings.upload_timeout
        self._is_whole = self._is_refused = False

    def refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> HTTPException:
        """Make the exception of a refusal, after whose answer the connection is closed."""
        self._is_refused = True
        return HTTPException(status, message, headers)

    def check_declared(self, length: bytes | None) -> None:
        """Refuse a request whose header `Content-Length` exceeds the limit."""
        if length is not None and length.isdigit() and int(length) > self._settings.max_upload_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """Receive the next part of the body, and check the limits of time and size."""
        if self._is_whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
        except asyncio.TimeoutError:
            raise self.refusal(
                408,
                f"expected the whole upload within {self._settings.upload_timeout:g} seconds; it took longer. Send a "
                "smaller file, or use a faster connection",
            ) from None
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._num_bytes > self._settings.max_upload_bytes:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send the answer; after a refusal, drain the rest of the upload before the answer ends."""
        if not self._is_refused:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
        else:
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        while not self._is_whole and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            self._is_whole = not message.get("more_body", False)

    def _too_large(self) -> HTTPException:
        limit = f"{self._settings.max_upload_bytes / 2**20:,.6g} MiB"
        return self.refusal(413, f"expected an upload of at most {limit}; got more. Send a smaller file")
