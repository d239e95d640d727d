"""The gate in front of uploads: so many at once, so many bytes, so many seconds; none is read further than that."""

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
# After a refusal the rest of an upload is read for this long and thrown away: a connection that is closed on bytes
# which nobody read is reset, and the sender never sees the answer.
LINGER = 2.0


@dataclass
class InProgress:
    """How many searches are under way."""

    count: int = 0


class UploadGate:
    """Wraps an ASGI app.

    Args:
        app: The app.
        settings: The limits.
        in_progress: Kept up to date.
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
                raise body.refusal(503, "expected fewer searches at once; try again", {"Retry-After": RETRY_AFTER})
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
    """The upload of one request, counted as it comes, and the answer to it."""

    def __init__(self, receive: Receive, send: Send, settings: ServingSettings) -> None:
        self._receive, self._send, self._settings = receive, send, settings
        self._num_bytes, self._end = 0, time.monotonic() + settings.upload_timeout
        self._is_whole = self._is_refused = False

    def refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> HTTPException:
        """Return what to raise; the connection ends with it."""
        self._is_refused = True
        return HTTPException(status, message, headers)

    def check_declared(self, length: bytes | None) -> None:
        """Refuse what says itself that it is too large."""
        if length is not None and length.isdigit() and int(length) > self._settings.max_upload_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """Pass on a piece."""
        if self._is_whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
        except asyncio.TimeoutError:
            raise self.refusal(
                408, f"expected the whole upload within {self._settings.upload_timeout:g} seconds"
            ) from None
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._num_bytes > self._settings.max_upload_bytes:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer; after a refusal, read on for a while before its end."""
        if not self._is_refused:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
        else:
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        end = time.monotonic() + LINGER
        while not self._is_whole and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            self._is_whole = not message.get("more_body", False)

    def _too_large(self) -> HTTPException:
        return self.refusal(413, f"expected at most {self._settings.max_upload_bytes / 2**20:,.6g} MiB; got more")
