"""A repository as git keeps one: commits of whole trees, branches and tags that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .messages import HubError

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
# The endings that a new repository of the Hub sends to large-file storage, of those that are used here.
LFS_ENDINGS = ("arrow", "bin", "gz", "jpg", "npy", "onnx", "parquet", "png", "safetensors", "tar", "webp", "zip")
GIT_ATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS).encode()


def git_hash(content: bytes) -> str:
    """Return the name that git gives to a blob of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit: its content where it is small, else the name of its content in the storage.

    `blob_id` is git's hash: of the content, or of the pointer that git keeps in its place.
    """

    size: int
    blob_id: str
    content: bytes = b""
    lfs_oid: str | None = None

    @classmethod
    def regular(cls, content: bytes) -> StoredFile:
        return cls(size=len(content), blob_id=git_hash(content), content=content)

    @classmethod
    def large(cls, oid: str, size: int) -> StoredFile:
        return cls(size=size, blob_id=git_hash(LFS_POINTER.format(oid=oid, size=size).encode()), lfs_oid=oid)

    @property
    def pointer_size(self) -> int:
        return len(LFS_POINTER.format(oid=self.lfs_oid, size=self.size))


@dataclass(frozen=True)
class Commit:
    """All files of a repository at one moment: path -> file."""

    oid: str
    parent: str | None
    title: str
    date: str
    files: Mapping[str, StoredFile]


@dataclass
class Repository:
    """A model, data set or Space: `kind` is "model", "dataset" or "space"."""

    kind: str
    repo_id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the first commit, as the Hub does: of the file that says what is large."""
        self.commit("main", "initial commit", {".gitattributes": StoredFile.regular(GIT_ATTRIBUTES)})

    @property
    def owner(self) -> str:
        return self.repo_id.split("/")[0]

    def commit(self, branch: str, title: str, files: Mapping[str, StoredFile]) -> Commit:
        """Add a commit of these files, and no others, to a branch, which it begins where there is none."""
        parent = self.branches.get(branch)
        listing = sorted((path, file.blob_id) for path, file in files.items())
        oid = hashlib.sha1(repr((self.kind, self.repo_id, len(self.commits), parent, title, listing)).encode())
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        made = Commit(oid.hexdigest(), parent, title, now, dict(files))
        self.commits[made.oid] = made
        self.branches[branch] = made.oid
        return made

    def resolve(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag or the beginning of a commit's name stands for."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name)
        if oid is None and len(name) >= 7:
            oid = next((known for known in self.commits if known.startswith(name)), None)
        if oid is None:
            raise HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return self.commits[oid]

    def history(self, commit: Commit) -> list[Commit]:
        """List a commit and those before it, the newest first."""
        found = [commit]
        while found[-1].parent is not None:
            found.append(self.commits[found[-1].parent])
        return found

    def last_change(self, commit: Commit, path: str) -> Commit:
        """Return the commit that gave a file the content it has in `commit`."""
        blob_id = commit.files[path].blob_id
        changed = commit
        for earlier in self.history(commit)[1:]:
            if path not in earlier.files or earlier.files[path].blob_id != blob_id:
                break
            changed = earlier
        return changed
