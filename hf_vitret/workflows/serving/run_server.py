"""The app run on an address, until it is told to end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .settings import ServingSettings

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# Connections for each search that may be under way: pages and pictures too, and those that only wait.
CONNECTIONS_PER_SEARCH = 8


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Args:
        host: Name or number.
        port: 0 for one that is free.

    Raises:
        OSError: It is in use, or none of this machine's; the message says what to do.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By the protocol's number, which `socket.create_server` leaves out: only on sockets that say that they are TCP does
    # asyncio turn off Nagle's algorithm, which holds back an answer for 40 ms.
    listener = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1_024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(
            f"expected an address that is free on this machine; {host} port {port} is none ({error}): "
            "choose others with --host and --port"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where a browser finds a server."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run_server(app: FastAPI, listener: socket.socket, settings: ServingSettings) -> None:
    """Serve until SIGTERM or Ctrl+C: no new request is taken then, and those that run are finished.

    Args:
        app: Of `create_app`.
        listener: Of `listen`.
        settings: Those of the app.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_PER_SEARCH * settings.max_waiting,
        timeout_graceful_shutdown=int(settings.upload_timeout + settings.timeout) + 5,
    )
    server = uvicorn.Server(config)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each malformed request
    is_main = threading.current_thread() is threading.main_thread()
    # uvicorn ends by sending itself the signal that ended it, which here has had its effect.
    before = signal.signal(signal.SIGTERM, lambda number, frame: None) if is_main else None
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # the same, of Ctrl+C
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
