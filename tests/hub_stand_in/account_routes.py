"""Who a token belongs to; repositories made, described, changed and removed."""

from __future__ import annotations

from typing import Any

import yaml

from .messages import HubError, Request, Response
from .repository import Commit, Repository
from .routing import route
from .store import Store


@route("GET", "/api/whoami-v2")
def whoami(store: Store, request: Request) -> Response:
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "stand-in", "role": "write", "createdAt": "2026-01-01T00:00:00.000Z"}
    account = {"type": "user", "id": request.user, "name": request.user, "fullname": request.user, "orgs": []}
    return Response.of({**account, "auth": {"type": "access_token", "accessToken": token}})


@route("POST", "/api/repos/create")
def create_repo(store: Store, request: Request) -> Response:
    asked = request.json()
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    owner = asked.get("organization") or request.user
    if owner != request.user:
        raise HubError(403, f"You don't have the rights to create a repository under the namespace {owner!r}")
    kind, repo_id = asked.get("type") or "model", f"{owner}/{asked['name']}"
    url = f"http://{request.headers['Host']}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}"
    with store.lock:
        if (kind, repo_id) in store.repositories:
            return Response.of({"error": f"You already created this {kind} repo", "url": url}, 409)
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        store.repositories[kind, repo_id] = Repository(kind, repo_id, is_private)
    return Response.of({"url": url, "name": repo_id, "id": repo_id})


@route("DELETE", "/api/repos/delete")
def delete_repo(store: Store, request: Request) -> Response:
    asked = request.json()
    kind, repo_id = asked.get("type") or "model", f"{asked.get('organization') or request.user}/{asked['name']}"
    with store.lock:
        store.writable(kind, repo_id, request.user)
        del store.repositories[kind, repo_id]
    return Response(204)


@route("PUT", "/api/{kind}/{repo}/settings")
def change_settings(store: Store, request: Request) -> Response:
    repository = store.writable(request.names["kind"], request.names["repo"], request.user)
    asked = request.json()
    if "visibility" in asked:
        repository.private = asked["visibility"] == "private"
    if "private" in asked:
        repository.private = asked["private"]
    return Response.of({"private": repository.private})


@route("GET", "/api/{kind}/{repo}(?:/revision/{revision})?")
def repo_info(store: Store, request: Request) -> Response:
    repository = store.readable(request.names["kind"], request.names["repo"], request.user)
    commit = repository.resolve(request.names.get("revision", "main"))
    described: dict[str, Any] = {
        "_id": commit.oid[:24],
        "id": repository.repo_id,
        "author": repository.owner,
        "sha": commit.oid,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "createdAt": repository.history(commit)[-1].date,
        "lastModified": commit.date,
        "cardData": card_data(commit),
        "siblings": [sibling(commit, path, request.flag("blobs")) for path in sorted(commit.files)],
    }
    if repository.kind == "model":
        described["modelId"] = repository.repo_id
    return Response.of(described)


def card_data(commit: Commit) -> dict[str, Any]:
    """Read the YAML at the head of a commit's README.md; empty where there is none."""
    readme = commit.files.get("README.md")
    return front_matter(readme.content.decode()) if readme else {}


def front_matter(text: str) -> dict[str, Any]:
    """Read what stands between the first two lines of `---`."""
    if not text.startswith("---\n"):
        return {}
    return yaml.safe_load(text.split("---\n")[1]) or {}


def sibling(commit: Commit, path: str, with_blobs: bool) -> dict[str, Any]:
    """Describe a file as the description of its repository does."""
    file = commit.files[path]
    entry: dict[str, Any] = {"rfilename": path}
    if with_blobs:
        entry |= {"size": file.size, "blobId": file.blob_id}
        if file.lfs_oid is not None:
            entry["lfs"] = {"sha256": file.lfs_oid, "size": file.size, "pointerSize": file.pointer_size}
    return entry


@route("POST", "/api/validate-yaml")
def validate_yaml(store: Store, request: Request) -> Response:
    try:
        metadata = front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        return Response.of({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return Response.of({"errors": [], "warnings": warnings})
