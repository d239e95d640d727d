"""Files of a repository on the Hub, changed by one commit: a reader finds all that is new, or nothing of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .hub_client import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo, RepoSibling


def commit_at_once(
    hub: HfApi,
    repo_id: str,
    kind: str,
    additions: Sequence[CommitOperationAdd],
    is_outdated: Callable[[str], bool],
    there: ModelInfo | DatasetInfo,
    message: str,
) -> str:
    """Upload what is new, and commit it on top of what was there when the push began.

    Large files go to the storage first, where nobody sees them. The client's `upload_folder` makes several commits
    where its Xet transfer is installed.

    Args:
        hub: The client, with its token.
        repo_id: Owner and name.
        kind: "model" or "dataset".
        additions: What is to be there; what is there already is left alone.
        is_outdated: Of a path that is not among them: whether it goes.
        there: The repository as the push began, by `model_info` or `dataset_info` with `files_metadata=True`.
        message: Of the commit.

    Returns:
        The commit's name; that of the newest one, where there was nothing to change.

    Raises:
        HTTPError: The Hub refuses, or somebody else has pushed since.
    """
    from huggingface_hub import CommitOperationAdd

    new = [one for one in changes(additions, is_outdated, there.siblings) if isinstance(one, CommitOperationAdd)]
    if new:
        # The client repeats these requests by itself, and leaves out what the storage has.
        hub.preupload_lfs_files(repo_id, new, repo_type=kind, free_memory=False)

    def commit() -> str:
        look = hub.model_info if kind == "model" else hub.dataset_info
        now: ModelInfo | DatasetInfo = look(repo_id, files_metadata=True)
        changed = changes(additions, is_outdated, now.siblings)
        if not changed:  # where the answer to a commit was lost, and only there
            return str(now.sha)
        made = hub.create_commit(repo_id, changed, commit_message=message, repo_type=kind, parent_commit=there.sha)
        return str(made.oid)

    return patiently(commit)


def changes(
    additions: Sequence[CommitOperationAdd],
    is_outdated: Callable[[str], bool],
    there: Sequence[RepoSibling] | None,
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Return what a commit has to do: add what is not there, or is another, and remove what must not be there.

    Args:
        additions: As for `commit_at_once`.
        is_outdated: As for `commit_at_once`.
        there: The files of the repository, with their metadata.
    """
    from huggingface_hub import CommitOperationDelete

    siblings = {sibling.rfilename: sibling for sibling in there or []}
    changed = [one for one in additions if not _is_there(one, siblings.get(one.path_in_repo))]
    ours = {addition.path_in_repo for addition in additions}
    outdated = [path for path in sorted(set(siblings) - ours) if is_outdated(path)]
    return [*changed, *(CommitOperationDelete(path) for path in outdated)]


def _is_there(addition: CommitOperationAdd, sibling: RepoSibling | None) -> bool:
    """Tell whether the repository has this file already: by SHA-256 where it is large, else by its name in git."""
    if sibling is None:
        return False
    if sibling.lfs is not None:
        return sibling.lfs.sha256 == addition.upload_info.sha256.hex()
    if sibling.size != addition.upload_info.size:
        return False
    with addition.as_file() as stream:
        content = stream.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == sibling.blob_id
