"""Run the app with uvicorn on an address until SIGTERM or Ctrl-C."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

    from .settings import ServingSettings

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# Connections for each search that may be in progress, which also serve pages and thumbnails or are idle.
CONNECTIONS_PER_SEARCH = 8


def is_loopback(host: str) -> bool:
    """Say whether a host is a loopback address, which only this machine can reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Args:
        host: Name or IP address of an interface of this machine.
        port: The port; 0 chooses a free one.

    Returns:
        The socket.

    Raises:
        OSError: The address is in use, or does not belong to this machine.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    # `socket.create_server` leaves out the number of the protocol. asyncio disables Nagle's algorithm, which delays an
    # answer by 40 ms, only on sockets whose protocol is given as TCP.
    listener = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1_024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(
            f"expected an address of this machine that is free; {host} port {port} cannot be used ({error}): "
            "choose others with --host and --port"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL of the server that listens on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run_server(app: FastAPI, listener: socket.socket, settings: ServingSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are then finished, and new ones are not accepted.

    Args:
        app: The app, from `create_app`.
        listener: The socket, from `listen`.
        settings: The limits that the app was made with.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it, after the requests in progress were finished.
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
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns about each malformed request
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        server.should_exit = True  # for a signal that comes before uvicorn handles them

    # uvicorn sends the signal that stopped it to the process again at its end: it comes to `stop`. With Python's own
    # handler of Ctrl-C, asyncio would cancel the tasks of the app and print their tracebacks.
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
