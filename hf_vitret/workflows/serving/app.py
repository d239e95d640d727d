"""The server as an ASGI app, for `hf-vitret serve` or for a server of one's own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .image_search import ImageSearch
from .metrics import Metrics
from .page import draw_page
from .settings import ServingSettings
from .thumbnails import Thumbnails

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from os import PathLike

    from fastapi import FastAPI
    from torch import nn

    from ...embedding.model_identity import ModelIdentity
    from ...indexing.image_index import ImageIndex

PACKAGES = ("fastapi", "uvicorn", "python_multipart")
MISSING = 'Serving needs fastapi, uvicorn and python-multipart: pip install "hf_vitret[serve]"'
PICTURE_THREADS = 2


def create_app(
    index: ImageIndex,
    model: nn.Module,
    *,
    image_dir: str | PathLike[str] | None = None,
    settings: ServingSettings | None = None,
    identity: ModelIdentity | None = None,
    columns: Sequence[str] | None = None,
    min_score: float | None = None,
    title: str = "Search by image",
    dtype: str = "auto",
    allowed_hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """Make the app.

    `POST /search` takes a form with `image`, a file, and `k`, `min_score` and `where`; `/images/ROW` gives small
    pictures; `/health`, `/metrics` (Prometheus), `/openapi.json`; and `/` is a page. Nothing says who may ask: put what
    knows that in front of it.

    Args:
        index: What is searched. It must not change meanwhile.
        model: That made the index, on the device where it runs; nobody else uses it meanwhile.
        image_dir: Folder that was embedded, for the pictures. None: without them.
        settings: Limits; default: `ServingSettings()`.
        identity: Of the model, where it is known; else it is found.
        columns: Metadata that is shown, and that conditions may name; default: all. Paths never are.
        min_score: What scores below it is no match, where a request does not say otherwise.
        title: Of the page.
        dtype: In which the model computes, as for `ImageEncoder`.
        allowed_hosts: Names under which the server is asked. A page of another site, whose name leads here too, is
            refused. Default: any.

    Raises:
        ImportError: A package is missing.
        ValueError: The index is of another model, and the message says which; or it has no such column, or no paths.
        FileNotFoundError: There is no such folder of images.
    """
    check_packages()
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from ... import __version__
    from .error_answers import add_error_answers
    from .request_log import RequestLog
    from .routes import Parts, router
    from .thread_slots import ThreadSlots
    from .upload_gate import InProgress, UploadGate

    settings = settings or ServingSettings()
    metrics, in_progress = Metrics(), InProgress()
    search = ImageSearch(
        index,
        model,
        settings,
        identity=identity,
        columns=columns,
        min_score=min_score,
        dtype=dtype,
        on_batch=metrics.add_batch,
    )
    page = draw_page(title, f"{len(index):,} images to search in", settings)
    parts = Parts(search, Thumbnails(index, image_dir), metrics, page, in_progress)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        search.start()
        parts.picture_threads = ThreadSlots(PICTURE_THREADS)
        try:
            yield
        finally:
            parts.picture_threads.close()
            search.close()

    # No page of FastAPI's own: both load scripts from elsewhere.
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None, lifespan=running)
    app.state.parts = parts
    app.include_router(router)
    add_error_answers(app)
    # From the inside out.
    app.add_middleware(UploadGate, settings=settings, in_progress=in_progress)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_middleware(RequestLog, metrics=metrics)
    return app


def check_packages() -> None:
    """Check that what the server is built on is installed.

    Raises:
        ImportError: It is not.
    """
    if any(find_spec(name) is None for name in PACKAGES):
        raise ImportError(MISSING)
