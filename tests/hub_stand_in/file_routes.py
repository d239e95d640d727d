"""How files get out: `resolve` on the Hub, which sends a client on to the storage for the large ones."""

from __future__ import annotations

import re

from .messages import HubError, Request, Response
from .routing import route
from .store import Store


@route("GET", "/{prefix}{repo}/resolve/{revision}/{path}")
def resolve(store: Store, request: Request) -> Response:
    repository = store.readable(request.names.get("kind", "model"), request.names["repo"], request.user)
    commit = repository.resolve(request.names["revision"])
    file = commit.files.get(request.names["path"])
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    if file is None:
        raise HubError(404, "Entry not found", code="EntryNotFound", **headers)
    if file.lfs_oid is None:
        return take_range(request, Response(headers={**headers, "ETag": f'"{file.blob_id}"'}, content=file.content))
    port = request.headers["Host"].rsplit(":", 1)[1]
    headers |= {"ETag": f'"{file.blob_id}"', "X-Linked-ETag": f'"{file.lfs_oid}"', "X-Linked-Size": str(file.size)}
    signature = store.sign("GET", file.lfs_oid)
    headers["Location"] = f"http://localhost:{port}/objects/{file.lfs_oid}?signature={signature}"
    return Response(302, headers)


def take_range(request: Request, response: Response) -> Response:
    """Cut an answer to the bytes that the request asks for (RFC 9110, section 14), if it does."""
    asked = request.headers.get("Range")
    if asked is None:
        return response
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    size = response.size
    if match is None or match.groups() == ("", ""):
        raise HubError(400, f"the stand-in serves one range of bytes; got {asked!r}")
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or start > end:
        raise HubError(416, "Range Not Satisfiable", **{"Content-Range": f"bytes */{size}"})
    response.status = 206
    response.headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    if response.file is None:
        response.content = response.content[start : end + 1]
    else:
        response.start, response.length = start, end - start + 1
    return response


def check_signature(store: Store, request: Request, method: str) -> None:
    """Refuse who has no signed address, and who sends the Hub's token to the storage, as S3 does."""
    if "Authorization" in request.headers:
        raise HubError(400, "Only one auth mechanism allowed: a token was sent to the storage")
    if request.option("signature") != store.sign(method, request.names["oid"]):
        raise HubError(403, "SignatureDoesNotMatch")


@route("PUT", "/objects/{oid}", on_storage=True)
def storage_upload(store: Store, request: Request) -> Response:
    check_signature(store, request, "PUT")
    store.put_object(request.names["oid"], request.body.parts())
    return Response(headers={"ETag": f'"{request.names["oid"]}"'})


@route("GET", "/objects/{oid}", on_storage=True)
def storage_download(store: Store, request: Request) -> Response:
    check_signature(store, request, "GET")
    oid = request.names["oid"]
    headers = {"ETag": f'"{oid}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    return take_range(request, Response(headers=headers, file=store.object_path(oid)))
