"""The ASGI app of the search server, for `hf-vitret serve` or any other ASGI server."""

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
    """Make the ASGI app of the search server.

    The routes are

    * `POST /search`: a search, by a form with the file `image` and the fields `k`, `min_score` and `where`;
    * `/images/ROW`: a thumbnail of the image at a row of the index;
    * `/health`: the state of the server, its index and its model;
    * `/metrics`: counts and times in the format of Prometheus;
    * `/openapi.json`: the description of the API;
    * `/`: a web page for searches.

    The app does not authenticate users. Put a reverse proxy that does in front of it if access is to be restricted.

    Args:
        index: The index to search. It must not be changed while the app runs.
        model: The model that made the index, on the device to compute on. Nothing else may use it while the app runs.
        image_dir: The folder of the indexed images, to serve thumbnails from. Default: no thumbnails.
        settings: The limits of the server. Default: `ServingSettings()`.
        identity: The identity of the model. Default: it is computed from the model.
        columns: Columns of the metadata that answers show and that conditions may name. Default: all but the paths,
            which are never shown.
        min_score: The lowest score of a match, for requests that do not set their own. Default: every score counts.
        title: The title of the page.
        dtype: The type in which the model computes: `"float32"`, `"bfloat16"` or `"float16"`, the latter two by
            autocast. `"auto"` is bfloat16 on devices that compute in it fast, else float32.
        allowed_hosts: The values of the `Host` header that are accepted, as names without a port. Requests for other
            names are refused, which protects against web pages whose domain name resolves to this server (DNS
            rebinding). Default: any name.

    Returns:
        The app.

    Raises:
        ImportError: A package of the extra `serve` is missing.
        ValueError: The index was made by another model (the message names both), it has no such column, or it has no
            paths of images although `image_dir` is given.
        FileNotFoundError: The folder of images does not exist.
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

    # FastAPI's own documentation pages are disabled, because they load scripts from other servers.
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None, lifespan=running)
    app.state.parts = parts
    app.include_router(router)
    add_error_answers(app)
    # The middleware that is added last sees a request first.
    app.add_middleware(UploadGate, settings=settings, in_progress=in_progress)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_middleware(RequestLog, metrics=metrics)
    return app


def check_packages() -> None:
    """Check that the packages of the extra `serve` are installed.

    Raises:
        ImportError: A package is missing.
    """
    if any(find_spec(name) is None for name in PACKAGES):
        raise ImportError(MISSING)
