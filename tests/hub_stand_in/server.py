"""The socket side: reads requests, finds who asks, plays faults, writes answers, and keeps a record."""

from __future__ import annotations

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from . import account_routes, commit_routes, file_routes, tree_routes  # noqa: F401 (they register their routes)
from .faults import CutRequest, CutResponse, Faults, Refuse
from .messages import CHUNK, Body, ConnectionCutError, HubError, Request, Response
from .routing import find_route
from .store import Store


@dataclass(frozen=True)
class SeenRequest:
    """What one request was, and what became of it. `status` is 0 where the connection was cut."""

    route: str  # "" where no route serves the address
    method: str
    path: str
    status: int
    num_received: int  # bytes of its body
    user: str | None


class HubServer(ThreadingHTTPServer):
    """A Hub on a free port of 127.0.0.1; each connection has a thread of its own."""

    daemon_threads = True
    request_queue_size = 128  # a client opens many connections at once; a full queue would make it wait a second

    def __init__(self, objects: Path) -> None:
        self.store = Store(objects)
        self.faults = Faults()
        self.requests: list[SeenRequest] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet, where they fit

    def handle_any(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length")
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        body = Body(self.rfile, int(length) if length else None, chunked)
        request = Request(self.command, path, query, self.headers, body, user=None)
        name, status = "", 0
        cut_after = None
        try:
            try:
                request.user = self._user()
                found = find_route(request, on_storage=self.headers.get("Host", "").startswith("localhost"))
                name = found.name
                fault = self.server.faults.take(name)
                if isinstance(fault, Refuse):
                    raise HubError(fault.status, fault.message, **fault.headers)
                if isinstance(fault, CutRequest):
                    body.cut_after = fault.after
                if isinstance(fault, CutResponse):
                    cut_after = fault.after
                response = found.handler(self.server.store, request)
            except HubError as error:
                response = Response.of({"error": str(error)}, error.status, **error.headers)
            for _ in body.parts():  # the next request begins where this one ends
                pass
            self._send(response, cut_after)
            status = response.status
        except (ConnectionCutError, ConnectionError):
            self.close_connection = True
        finally:
            self.server.requests.append(SeenRequest(name, self.command, self.path, status, body.num_read, request.user))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def _user(self) -> str | None:
        """Return whose token the request brings; a token of nobody's is refused whatever it asks for."""
        authorization = self.headers.get("Authorization")
        if authorization is None:
            return None
        name = self.server.store.users.get(authorization.removeprefix("Bearer "))
        if name is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return name

    def _send(self, response: Response, cut_after: int | None) -> None:
        self.send_response(response.status)
        for header, value in response.headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(response.size))
        self.end_headers()
        if self.command == "HEAD":
            return
        left = response.size if cut_after is None else min(cut_after, response.size)
        if response.file is None:
            self.wfile.write(response.content[:left])
        else:
            with response.file.open("rb") as stream:
                stream.seek(response.start)
                while left:
                    part = stream.read(min(CHUNK, left))
                    self.wfile.write(part)
                    left -= len(part)
        self.wfile.flush()
        if cut_after is not None:
            raise ConnectionCutError

    def log_message(self, *_: object) -> None:
        """Say nothing: `HubServer.requests` has it all."""
