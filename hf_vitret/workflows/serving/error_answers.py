"""Answers to failed requests: JSON that explains what is wrong with a request and reveals nothing of the server."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse


class RefusedRequest(Exception):
    """A request is refused. The message is sent to the client and must reveal nothing of the server.

    Args:
        status: The HTTP status of the answer, 4xx.
        message: What was expected, what was received, and how to mend the request.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def add_error_answers(app: FastAPI) -> None:
    """Make an app answer each error with `{"error": ...}`.

    The details of an error of the server itself are left to the log of the ASGI server.

    Args:
        app: The app.
    """
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_fields)
    app.add_exception_handler(RefusedRequest, _of_refusal)
    app.add_exception_handler(asyncio.TimeoutError, _of_time)
    app.add_exception_handler(Exception, _of_server)


# Starlette types the error of a handler as any exception; each handler here is called with its own class only.
def _of_http(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _of_fields(request: Request, error: Any) -> JSONResponse:
    # The message has the name of the field and the violated rule, and does not repeat the value that was sent.
    parts = [f"{' '.join(map(str, each['loc'][1:])) or 'request'}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"error": "; ".join(parts)}, 422)


def _of_refusal(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.message}, error.status)


def _of_time(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": "the search took too long; try again"}, 504)


def _of_server(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": "the server failed; the reason is in its log, which its operator can read"}, 500)
