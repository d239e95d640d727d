"""The routes of the server: search, thumbnails, health, metrics and the web page."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from ...files.json_values import json_text
from .error_answers import RefusedRequest
from .image_search import ImageSearch
from .metrics import MEDIA_TYPE, Metrics
from .page import Page
from .request_log import IMAGES_PATH, SEARCH_PATH
from .thread_slots import ThreadSlots
from .thumbnails import Thumbnails
from .upload_gate import InProgress

MAX_K = 100
DEFAULT_K = 12
MAX_CONDITIONS = 10
MAX_CONDITION = 1_000  # characters

router = APIRouter()


class Result(BaseModel):
    """An image that was found."""

    rank: int = Field(description="rank in the results, from 1")
    id: str | int
    score: float = Field(description="similarity, higher is better: the cosine, if the vectors have unit length")
    image: str | None = Field(description="URL of its thumbnail on this server; null if the server has none")
    metadata: dict[str, Any]


class SearchAnswer(BaseModel):
    """The images that were found, best first; empty if none matches."""

    results: list[Result]


class ErrorAnswer(BaseModel):
    """A message on what was expected, what was received and how to mend the request."""

    error: str


@dataclass
class Parts:
    """The objects that the routes use, stored as `app.state.parts`."""

    search: ImageSearch
    thumbnails: Thumbnails
    metrics: Metrics
    page: Page
    in_progress: InProgress
    picture_threads: ThreadSlots | None = None


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


@router.post(
    SEARCH_PATH,
    response_model=SearchAnswer,
    responses={
        400: {"model": ErrorAnswer, "description": "the body is not a form"},
        408: {"model": ErrorAnswer, "description": "the upload took too long"},
        413: {"model": ErrorAnswer, "description": "the upload has too many bytes or pixels"},
        415: {"model": ErrorAnswer, "description": "the file is not an image of a supported format"},
        422: {"model": ErrorAnswer, "description": "the image is damaged, or a field is invalid"},
        503: {"model": ErrorAnswer, "description": "too many searches at once; Retry-After states when to try again"},
        504: {"model": ErrorAnswer, "description": "the search took too long"},
    },
)
async def search(
    request: Request,
    image: Annotated[UploadFile, File(description="JPEG, PNG, WebP, GIF or BMP")],
    k: Annotated[int, Form(ge=1, le=MAX_K, description="number of images to find")] = DEFAULT_K,
    min_score: Annotated[float | None, Form(allow_inf_nan=False, description="lowest score of a match")] = None,
    where: Annotated[
        list[Annotated[str, Field(max_length=MAX_CONDITION)]],
        Form(max_length=MAX_CONDITIONS, description="conditions on the metadata, such as color=red or price<=20"),
    ] = [],  # noqa: B006 (FastAPI copies it)
) -> Response:
    """Find the images nearest to an uploaded one."""
    parts = _parts(request)
    found = await parts.search.find(image.file, k, where, min_score)
    results = []
    for hit in found:
        picture = f"{IMAGES_PATH.lstrip('/')}/{hit.position}" if parts.thumbnails.are_there else None
        facts = {"rank": hit.rank, "id": hit.image_id, "score": hit.score}
        results.append({**facts, "image": picture, "metadata": hit.metadata})
    # Metadata may have values that JSON does not have, such as dates and NaN.
    content = json_text({"results": results}, default=str)
    return Response(content, media_type="application/json")


@router.get(IMAGES_PATH + "/{row}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def picture(request: Request, row: int) -> Response:
    """Return a thumbnail of an image of the index."""
    parts = _parts(request)
    if parts.picture_threads is None:
        raise RuntimeError("expected the app to have been started")
    content = await parts.picture_threads.run(parts.thumbnails.jpeg, row)
    if content is None:
        raise RefusedRequest(404, f"expected the row of an image that has a thumbnail; there is none at row {row}")
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Return whether the server answers searches, and describe its index and model."""
    search = _parts(request).search
    facts = {
        "status": "ok" if search.is_running else "down",
        "num_images": len(search.index),
        "dim": search.index.manifest.dim,
        "model": search.identity.name,
        "revision": search.identity.revision,
    }
    return JSONResponse(facts, 200 if search.is_running else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return counts and times in the format of Prometheus."""
    parts = _parts(request)
    gauges = {
        "hf_vitret_searches_in_progress": ("Searches in progress.", parts.in_progress.count),
        "hf_vitret_index_images": ("Images that a search can find.", len(parts.search.index)),
    }
    return Response(parts.metrics.text(gauges), media_type=MEDIA_TYPE)


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page(request: Request) -> Response:
    """Return the web page."""
    shown = _parts(request).page
    return HTMLResponse(shown.html, headers={"Content-Security-Policy": shown.policy})
