"""How files get into a repository: what is large, where the large ones go, and the commit that names them all."""

from __future__ import annotations

import base64
import json
from fnmatch import fnmatch
from typing import Any

from .messages import HubError, Request, Response
from .repository import Commit, StoredFile
from .routing import route
from .store import Store

MAX_REGULAR_SIZE = 10 * 1024 * 1024  # git refuses more on the Hub


def is_large(commit: Commit, path: str, size: int, sample: bytes) -> bool:
    """Say whether a file goes to the storage: by `.gitattributes`, by its size, or because it is no text."""
    attributes = commit.files.get(".gitattributes")
    rules = attributes.content.decode().splitlines() if attributes else []
    patterns = [rule.split()[0] for rule in rules if "filter=lfs" in rule]
    by_name = any(fnmatch(path.split("/")[-1], pattern) or fnmatch(path, pattern) for pattern in patterns)
    return by_name or size > MAX_REGULAR_SIZE or b"\0" in sample


@route("POST", "/api/{kind}/{repo}/preupload/{revision}")
def preupload(store: Store, request: Request) -> Response:
    repository = store.writable(request.names["kind"], request.names["repo"], request.user)
    commit = repository.resolve(request.names["revision"])
    described = []
    for asked in request.json()["files"]:
        large = is_large(commit, asked["path"], asked["size"], base64.b64decode(asked["sample"]))
        entry: dict[str, Any] = {"path": asked["path"], "shouldIgnore": False}
        entry["uploadMode"] = "lfs" if large else "regular"
        there = commit.files.get(asked["path"])
        if there is not None:  # the client leaves out what has not changed
            entry["oid"] = there.lfs_oid or there.blob_id
        described.append(entry)
    return Response.of({"files": described})


@route("POST", r"/{prefix}{repo}\.git/info/lfs/objects/batch")
def lfs_batch(store: Store, request: Request) -> Response:
    """Say where to put each large file, and nothing for those that are there."""
    store.writable(request.names.get("kind", "model"), request.names["repo"], request.user)
    asked = request.json()
    if asked["operation"] != "upload" or "basic" not in asked["transfers"]:
        raise HubError(400, "the stand-in serves basic uploads only")
    host, port = request.headers["Host"].rsplit(":", 1)
    objects = []
    for wanted in asked["objects"]:
        entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if not store.object_path(wanted["oid"]).exists():
            upload = f"http://localhost:{port}/objects/{wanted['oid']}?signature={store.sign('PUT', wanted['oid'])}"
            verify = f"http://{host}:{port}{request.path.removesuffix('/batch')}/verify"
            entry["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
        objects.append(entry)
    return Response.of({"transfer": "basic", "objects": objects}, **{"Content-Type": "application/vnd.git-lfs+json"})


@route("POST", r"/{prefix}{repo}\.git/info/lfs/objects/verify")
def lfs_verify(store: Store, request: Request) -> Response:
    store.writable(request.names.get("kind", "model"), request.names["repo"], request.user)
    asked = request.json()
    path = store.object_path(asked["oid"])
    if not path.exists() or path.stat().st_size != asked["size"]:
        raise HubError(404, f"object {asked['oid']} is not there, or of another size")
    return Response.of({})


@route("POST", "/api/{kind}/{repo}/commit/{revision}")
def create_commit(store: Store, request: Request) -> Response:
    """Apply the operations of one commit, all or none; each is a line of JSON, after one that says what it is."""
    lines = [json.loads(line) for line in request.body.read().splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    if request.flag("create_pr"):
        raise HubError(501, "the stand-in has no pull requests")
    with store.lock:
        repository = store.writable(request.names["kind"], request.names["repo"], request.user)
        branch = request.names["revision"]
        if branch not in repository.branches:
            raise HubError(404, f"Invalid rev id: {branch}", code="RevisionNotFound")
        parent = repository.resolve(branch)
        if not parent.oid.startswith(header.get("parentCommit", "")):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(parent.files)
        for line in lines:
            apply(store, files, line["key"], line["value"])
        made = repository.commit(branch, header["summary"], files)
    url = f"http://{request.headers['Host']}/{repository.repo_id}/commit/{made.oid}"
    return Response.of({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def apply(store: Store, files: dict[str, StoredFile], operation: str, value: dict[str, Any]) -> None:
    """Carry out one operation of a commit on its files."""
    path = value.get("path", "").rstrip("/")
    if operation == "file":
        content = base64.b64decode(value["content"])
        if len(content) > MAX_REGULAR_SIZE:
            raise HubError(400, f"{path} is larger than 10 MiB: it belongs into large-file storage")
        files[path] = StoredFile.regular(content)
    elif operation == "lfsFile":
        stored = store.object_path(value["oid"])
        if not stored.exists():
            raise HubError(400, f"LFS pointer of {path} points to a file that does not exist")
        files[path] = StoredFile.large(value["oid"], stored.stat().st_size)
    elif operation == "deletedFile":
        if path not in files:
            raise HubError(404, f"A file with this name doesn't exist: {path}", code="EntryNotFound")
        del files[path]
    elif operation == "deletedFolder":
        for inside in [name for name in files if name.startswith(f"{path}/")]:
            del files[inside]
    elif operation != "header":
        raise HubError(501, f"the stand-in knows no operation {operation!r}")
