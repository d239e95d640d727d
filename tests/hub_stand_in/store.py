"""Everything the stand-in keeps: users by token, repositories, and the large files in a folder."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from .messages import ConnectionCutError, HubError
from .repository import Repository


class Store:
    """The state of one Hub.

    Args:
        objects: Folder of the large files, each under the SHA-256 of its content.
        page_size: Entries that one page of a listing has; the Hub's is 1,000.
    """

    def __init__(self, objects: Path, page_size: int = 1000) -> None:
        self.objects = objects
        self.page_size = page_size
        self.users: dict[str, str] = {}  # token -> name
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lock = threading.RLock()  # around whatever reads and then writes
        self._secret = secrets.token_bytes()
        objects.mkdir(parents=True, exist_ok=True)

    def readable(self, kind: str, repo_id: str, user: str | None) -> Repository:
        """Return a repository, for a user who may read it.

        A private one and one that is not there look alike to who may not: 401 without a token, 404 with one.
        """
        found = self.repositories.get((kind, repo_id))
        if found is None or (found.private and user != found.owner):
            raise HubError(404 if user else 401, "Repository not found", code="RepoNotFound")
        return found

    def writable(self, kind: str, repo_id: str, user: str | None) -> Repository:
        """Return a repository, for a user who may write to it."""
        found = self.readable(kind, repo_id, user)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if user != found.owner:
            raise HubError(403, f"{user} may not write to {repo_id}")
        return found

    def object_path(self, oid: str) -> Path:
        return self.objects / oid

    def put_object(self, oid: str, parts: Iterator[bytes]) -> None:
        """Keep a large file once it is all there and is what its name says."""
        partial = self.objects / f"{oid}.{secrets.token_hex(4)}.partial"
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as stream:
                for part in parts:
                    digest.update(part)
                    stream.write(part)
        except ConnectionCutError:
            partial.unlink()
            raise
        if digest.hexdigest() != oid:
            partial.unlink()
            raise HubError(400, "The provided 'x-amz-content-sha256' header does not match what was computed.")
        partial.replace(self.object_path(oid))

    def sign(self, method: str, oid: str) -> str:
        """Sign the address of a large file: who has it needs no token."""
        return hmac.new(self._secret, f"{method} {oid}".encode(), "sha256").hexdigest()
