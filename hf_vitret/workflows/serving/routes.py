"""What the server is asked: a search, a picture, how it is, and the page."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from ...files.json_values import json_text
from .image_search import ImageSearch
from .metrics import MEDIA_TYPE, Metrics
from .page import Page
from .refusals import RefusedRequest
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

    rank: int = Field(description="from 1")
    id: str | int
    score: float = Field(description="higher is better; of unit vectors, the cosine")
    image: str | None = Field(description="address of its picture on this server; null where there are none")
    metadata: dict[str, Any]


class SearchAnswer(BaseModel):
    """What was found: best first, empty where nothing matches."""

    results: list[Result]


class ErrorAnswer(BaseModel):
    """What was expected, and what came."""

    error: str


@dataclass
class Parts:
    """What the answers are made from, as `app.state.parts`."""

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
        400: {"model": ErrorAnswer, "description": "not a form"},
        408: {"model": ErrorAnswer, "description": "the upload took too long"},
        413: {"model": ErrorAnswer, "description": "too many bytes or pixels"},
        415: {"model": ErrorAnswer, "description": "not an image of a format that is taken"},
        422: {"model": ErrorAnswer, "description": "a damaged image, or a field that is wrong"},
        503: {"model": ErrorAnswer, "description": "too many searches at once; Retry-After says when to try again"},
        504: {"model": ErrorAnswer, "description": "the search took too long"},
    },
)
async def search(
    request: Request,
    image: Annotated[UploadFile, File(description="JPEG, PNG, WebP, GIF or BMP")],
    k: Annotated[int, Form(ge=1, le=MAX_K, description="images to find")] = DEFAULT_K,
    min_score: Annotated[float | None, Form(allow_inf_nan=False, description="what scores less is no match")] = None,
    where: Annotated[
        list[Annotated[str, Field(max_length=MAX_CONDITION)]],
        Form(max_length=MAX_CONDITIONS, description="conditions on the metadata, as color=red or price<=20"),
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
    # Metadata may be what JSON does not have: dates, NaN.
    content = json_text({"results": results}, default=str)
    return Response(content, media_type="application/json")


@router.get(IMAGES_PATH + "/{row}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def picture(request: Request, row: int) -> Response:
    """Return the picture of an image of the index."""
    parts = _parts(request)
    if parts.picture_threads is None:
        raise RuntimeError("expected the app to have been started")
    content = await parts.picture_threads.run(parts.thumbnails.jpeg, row)
    if content is None:
        raise RefusedRequest(404, "there is no such picture")
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Say whether searches are answered, in which index, with which model."""
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
    """Return counts and times, as Prometheus reads them."""
    parts = _parts(request)
    gauges = {
        "hf_vitret_searches_in_progress": ("Searches that are under way.", parts.in_progress.count),
        "hf_vitret_index_images": ("Images that a search can find.", len(parts.search.index)),
    }
    return Response(parts.metrics.text(gauges), media_type=MEDIA_TYPE)


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page(request: Request) -> Response:
    """Return the page."""
    shown = _parts(request).page
    return HTMLResponse(shown.html, headers={"Content-Security-Policy": shown.policy})
