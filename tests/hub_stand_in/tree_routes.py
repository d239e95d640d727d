"""What is in a repository: listings page by page, single paths, commits, branches and tags."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlencode

from .messages import HubError, Request, Response
from .repository import Commit, Repository
from .routing import route
from .store import Store


def describe_file(repository: Repository, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """Describe a file; `expand` adds the commit that last changed it."""
    file = commit.files[path]
    entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": path}
    if file.lfs_oid is not None:
        entry["lfs"] = {"oid": file.lfs_oid, "size": file.size, "pointerSize": file.pointer_size}
    if expand:
        changed = repository.last_change(commit, path)
        entry["lastCommit"] = {"id": changed.oid, "title": changed.title, "date": changed.date}
    return entry


def describe_folder(commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """Describe a folder; its name in git is made up, but the same for the same content."""
    content = sorted((name, file.blob_id) for name, file in commit.files.items() if name.startswith(f"{path}/"))
    entry: dict[str, Any] = {"type": "directory", "size": 0, "path": path}
    entry["oid"] = hashlib.sha1(repr(content).encode()).hexdigest()
    if expand:
        entry["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return entry


def folders_of(commit: Commit) -> set[str]:
    """List the folders of a commit, which git knows only by the files in them."""
    return {str(parent) for path in commit.files for parent in PurePosixPath(path).parents if str(parent) != "."}


@route("GET", "/api/{kind}/{repo}/tree/{revision}(?:/{path})?")
def list_tree(store: Store, request: Request) -> Response:
    repository = store.readable(request.names["kind"], request.names["repo"], request.user)
    commit = repository.resolve(request.names["revision"])
    top = request.names.get("path", "")
    folders = folders_of(commit)
    if top and top not in folders:
        raise HubError(404, f"{top} does not exist", code="EntryNotFound", **{"X-Repo-Commit": commit.oid})
    inside = [path for path in sorted({*commit.files, *folders}) if not top or path.startswith(f"{top}/")]
    if not request.flag("recursive"):
        depth = len(PurePosixPath(top).parts)
        inside = [path for path in inside if len(PurePosixPath(path).parts) == depth + 1]
    start = int(request.option("cursor") or 0)
    page = inside[start : start + store.page_size]
    headers = {}
    if start + store.page_size < len(inside):
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        following = urlencode({**query, "cursor": start + store.page_size})
        headers["Link"] = f'<http://{request.headers["Host"]}{request.path}?{following}>; rel="next"'
    expand = request.flag("expand")
    entries = [
        describe_file(repository, commit, path, expand)
        if path in commit.files
        else describe_folder(commit, path, expand)
        for path in page
    ]
    return Response.of(entries, **headers)


@route("POST", "/api/{kind}/{repo}/paths-info/{revision}")
def paths_info(store: Store, request: Request) -> Response:
    repository = store.readable(request.names["kind"], request.names["repo"], request.user)
    commit = repository.resolve(request.names["revision"])
    form = parse_qs(request.body.read().decode())
    expand = form.get("expand", ["false"])[0].lower() == "true"
    folders = folders_of(commit)
    entries = []
    for path in form.get("paths", []):
        if path in commit.files:
            entries.append(describe_file(repository, commit, path, expand))
        elif path in folders:
            entries.append(describe_folder(commit, path, expand))
    return Response.of(entries)


@route("GET", "/api/{kind}/{repo}/commits/{revision}")
def list_commits(store: Store, request: Request) -> Response:
    repository = store.readable(request.names["kind"], request.names["repo"], request.user)
    history = repository.history(repository.resolve(request.names["revision"]))
    authors = [{"user": repository.owner}]
    return Response.of(
        [{"id": one.oid, "title": one.title, "message": "", "date": one.date, "authors": authors} for one in history]
    )


@route("GET", "/api/{kind}/{repo}/refs")
def list_refs(store: Store, request: Request) -> Response:
    repository = store.readable(request.names["kind"], request.names["repo"], request.user)

    def named(folder: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = named("heads", repository.branches), named("tags", repository.tags)
    return Response.of({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


@route("POST", "/api/{kind}/{repo}/tag/{revision}")
def create_tag(store: Store, request: Request) -> Response:
    tag = request.json()["tag"]
    with store.lock:
        repository = store.writable(request.names["kind"], request.names["repo"], request.user)
        if tag in repository.tags:
            raise HubError(409, f"Tag {tag} already exists")
        repository.tags[tag] = repository.resolve(request.names["revision"]).oid
    return Response.of({})


@route("DELETE", "/api/{kind}/{repo}/tag/{name}")
def delete_tag(store: Store, request: Request) -> Response:
    repository = store.writable(request.names["kind"], request.names["repo"], request.user)
    if repository.tags.pop(request.names["name"], None) is None:
        raise HubError(404, f"Invalid rev id: {request.names['name']}", code="RevisionNotFound")
    return Response.of({})


@route("POST", "/api/{kind}/{repo}/branch/{name}")
def create_branch(store: Store, request: Request) -> Response:
    start = request.json().get("startingPoint") or "main"
    name = request.names["name"]
    with store.lock:
        repository = store.writable(request.names["kind"], request.names["repo"], request.user)
        if name in repository.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        repository.branches[name] = repository.resolve(start).oid
    return Response.of({})


@route("DELETE", "/api/{kind}/{repo}/branch/{name}")
def delete_branch(store: Store, request: Request) -> Response:
    repository = store.writable(request.names["kind"], request.names["repo"], request.user)
    if repository.branches.pop(request.names["name"], None) is None:
        raise HubError(404, f"Invalid rev id: {request.names['name']}", code="RevisionNotFound")
    return Response.of({})
