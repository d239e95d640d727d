"""Upload files to a repository of the Hub in a single commit, so that readers see all changes or none."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .hub_client import with_retries

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
    parent: ModelInfo | DatasetInfo,
    message: str,
) -> str:
    """Upload new and changed files, and commit them onto the commit that was the newest when the push began.

    Large files are uploaded to the storage first, where readers do not see them. The client's `upload_folder` is not
    used because it makes several commits if its Xet transfer is installed.

    Args:
        hub: The client, with its token.
        repo_id: Owner and name of the repository.
        kind: "model" or "dataset".
        additions: The files that the repository is to have; those that it has already are not uploaded.
        is_outdated: Whether a path of the repository that is not among the additions is to be deleted.
        parent: The repository at the beginning of the push, from `model_info` or `dataset_info` with
            `files_metadata=True`.
        message: The message of the commit.

    Returns:
        The SHA of the commit, or that of the newest commit if there was nothing to change.

    Raises:
        HTTPError: The Hub refused a request, or somebody else has pushed since the push began.
    """
    from huggingface_hub import CommitOperationAdd

    new = [one for one in changes(additions, is_outdated, parent.siblings) if isinstance(one, CommitOperationAdd)]
    if new:
        # The client repeats these requests by itself, and skips files that the storage has.
        hub.preupload_lfs_files(repo_id, new, repo_type=kind, free_memory=False)

    def commit() -> str:
        read_info = hub.model_info if kind == "model" else hub.dataset_info
        now: ModelInfo | DatasetInfo = read_info(repo_id, files_metadata=True)
        changed = changes(additions, is_outdated, now.siblings)
        if not changed:  # nothing was new, or an earlier attempt made the commit and its answer was lost
            return str(now.sha)
        made = hub.create_commit(repo_id, changed, commit_message=message, repo_type=kind, parent_commit=parent.sha)
        return str(made.oid)

    return with_retries(commit)


def changes(
    additions: Sequence[CommitOperationAdd],
    is_outdated: Callable[[str], bool],
    files: Sequence[RepoSibling] | None,
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """List the operations of a commit: add new and changed files, and delete outdated ones.

    Args:
        additions: The files that the repository is to have.
        is_outdated: Whether a path of the repository that is not among the additions is to be deleted.
        files: The files that the repository has, with their metadata.

    Returns:
        The operations; empty if the repository has all additions and no outdated file.
    """
    from huggingface_hub import CommitOperationDelete

    siblings = {sibling.rfilename: sibling for sibling in files or []}
    changed = [one for one in additions if not _is_same_file(one, siblings.get(one.path_in_repo))]
    added_paths = {addition.path_in_repo for addition in additions}
    outdated = [path for path in sorted(set(siblings) - added_paths) if is_outdated(path)]
    return [*changed, *(CommitOperationDelete(path) for path in outdated)]


def _is_same_file(addition: CommitOperationAdd, sibling: RepoSibling | None) -> bool:
    """Compare a file with that of the repository: by SHA-256 if it is in large-file storage, else by git's SHA-1."""
    if sibling is None:
        return False
    if sibling.lfs is not None:
        return sibling.lfs.sha256 == addition.upload_info.sha256.hex()
    if sibling.size != addition.upload_info.size:
        return False
    with addition.as_file() as stream:
        content = stream.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == sibling.blob_id
