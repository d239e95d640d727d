"""A request and its answer, without the socket: what a route is a function of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs

CHUNK = 1 << 20


class HubError(Exception):
    """What a route raises for an answer of 400 and above, with the headers from which the client makes its errors."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **headers}
        if code is not None:
            self.headers["X-Error-Code"] = code


class ConnectionCutError(Exception):
    """The connection ended, or is to end, in the middle of a message."""


@dataclass
class Body:
    """The body of a request, read as it arrives: of a known length, or in chunks (RFC 9112, section 7.1).

    `cut_after` is for faults: reading further than this many bytes raises `ConnectionCutError`.
    """

    stream: BinaryIO
    length: int | None
    chunked: bool
    cut_after: int | None = None
    num_read: int = 0
    _at_end: bool = False

    def parts(self) -> Iterator[bytes]:
        """Yield what is left of the body, piece by piece."""
        while not self._at_end:
            size = self._chunk_size() if self.chunked else min(CHUNK, (self.length or 0) - self.num_read)
            if size == 0:
                self._at_end = True
                break
            part = self._read(size)
            if self.chunked:
                self.stream.readline()
            yield part
        if self.chunked and self.length is None:
            self.length = self.num_read

    def read(self) -> bytes:
        return b"".join(self.parts())

    def _chunk_size(self) -> int:
        size = int(self.stream.readline().split(b";")[0] or b"0", 16)
        if size == 0:
            self.stream.readline()
        return size

    def _read(self, size: int) -> bytes:
        wanted = size if self.cut_after is None else min(size, self.cut_after - self.num_read)
        part = self.stream.read(wanted)
        self.num_read += len(part)
        if len(part) < size:
            raise ConnectionCutError
        return part


@dataclass
class Request:
    """What a route is given. `path` is percent-encoded, as sent; `names` are the decoded parts that the route names."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body
    user: str | None
    names: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body.read() or b"{}")

    def option(self, name: str) -> str | None:
        """Return a parameter of the query, or None."""
        return next(iter(parse_qs(self.query).get(name, [])), None)

    def flag(self, name: str) -> bool:
        return (self.option(name) or "").lower() in ("1", "true")


@dataclass
class Response:
    """What a route answers: bytes, or a part of a file."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    file: Path | None = None
    start: int = 0
    length: int | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Response:
        """Answer with JSON."""
        return cls(status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())

    @property
    def size(self) -> int:
        if self.file is None:
            return len(self.content)
        return self.length if self.length is not None else self.file.stat().st_size - self.start
