"""Errors as JSON: what is wrong with a request in words, and of the server nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .refusals import RefusedRequest


def add_error_answers(app: FastAPI) -> None:
    """Let an app answer each error by `{"error": ...}`. What is the server's own fault is logged by whoever runs it."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_fields)
    app.add_exception_handler(RefusedRequest, _of_refusal)
    app.add_exception_handler(asyncio.TimeoutError, _of_time)
    app.add_exception_handler(Exception, _of_server)


# Starlette's type of a handler takes any exception; each of these is only called with its own.
def _of_http(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _of_fields(request: Request, error: Any) -> JSONResponse:
    # By name and rule: what was sent is not sent back.
    parts = [f"{' '.join(map(str, each['loc'][1:])) or 'request'}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"error": "; ".join(parts)}, 422)


def _of_refusal(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.message}, error.status)


def _of_time(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": "the search took too long; try again"}, 504)


def _of_server(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": "the server failed; whoever runs it finds the reason in its log"}, 500)
