"""Publish a checkpoint on the Hugging Face Hub as one commit with a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.run_state import is_run_state
from .hub_client import explained_errors, find_token, make_repository, with_retries
from .model_card import CARD_NAME
from .one_commit import changes, commit_at_once
from .pinned_snippets import pin_snippets
from .private_strings import check_no_tokens, without_paths
from .release_files import TEXTS, release_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from huggingface_hub import CommitOperationAdd, HfApi

_RELEASE = re.compile(r"v([1-9]\d*)")
# Weights and exports of an earlier release, which are deleted if the new release does not have them: an old
# `model.safetensors` would be loaded in place of new weights that are split into several files.
REPLACED = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.onnx", "*.onnx_data")


@dataclass(frozen=True)
class Published:
    """A release of a checkpoint on the Hub.

    Attributes:
        repo_id: Owner and name of the repository.
        commit: SHA of the commit.
        tag: Name of the tag on the commit.
        url: URL of the release's page.
    """

    repo_id: str
    commit: str
    tag: str
    url: str

    @property
    def snippet(self) -> str:
        """Python code that loads exactly this release."""
        return f'AutoModel.from_pretrained("{self.repo_id}", revision="{self.tag}", trust_remote_code=True)'


def publish_checkpoint(
    folder: str | PathLike[str], repo_id: str, *, private: bool = True, token: str | None = None, tag: str | None = None
) -> Published:
    """Upload a checkpoint with its card, pictures, results and exports as one commit, and tag the commit.

    Readers see all files of the release or none. Large files are uploaded to the storage first, where readers do not
    see them, and a single commit adds all files (`create_commit`; the client's `upload_folder` makes several commits
    if its Xet transfer is installed, and a reader could load parts of two releases). After an interruption, repeat the
    call: files that were uploaded are not uploaded again. A checkpoint that is already on the Hub under its tag is not
    changed.

    The uploaded files differ from those in the folder in two ways: the Python code in the card loads this tag of this
    repository, and absolute paths of this machine are shortened to their last part. Weights of an earlier release that
    this one does not have are deleted from the repository, and so are checkpoints that a run pushed during training.
    Other files of the repository are kept.

    Args:
        folder: The checkpoint, as training writes it (`<output_dir>/final`).
        repo_id: Owner and name of the repository, which is created if it does not exist.
        private: Whether the repository is visible to its owner only.
        token: A token of the Hub with write access. Default: that of `hf auth login` or HF_TOKEN.
        tag: The name of the release. Default: the next of v1, v2, and so on.

    Returns:
        The repository, commit, tag and URL of the release.

    Raises:
        FileNotFoundError: The folder is no checkpoint, has no card, or lacks files that loading needs.
        ValueError: There is no token, or it has no write access; a file contains a token; the weights are pickles; the
            tag exists for another checkpoint; the repository is public although `private` was requested, or the
            reverse.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached or fails. Nothing is lost, and
            the call can be repeated.
    """
    from huggingface_hub import HfApi

    files = release_files(folder)
    token = find_token(token)
    texts = _published_texts(files, token)
    content: dict[str, bytes | Path] = {**files, **{path: text.encode() for path, text in texts.items()}}
    hub = HfApi(token=token, library_name="hf_vitret")
    with explained_errors(repo_id, folder):
        make_repository(hub, repo_id, "model", private=private)
        newest = with_retries(lambda: hub.model_info(repo_id, files_metadata=True))
        tags = with_retries(lambda: _tags(hub, repo_id))
        release = tag or _release_at(tags, newest.sha) or _next_release(tags)
        operations = _additions(content, texts[CARD_NAME], repo_id, release)
        if release in tags and (tags[release] != newest.sha or changes(operations, _is_outdated, newest.siblings)):
            if tag:
                raise ValueError(
                    f"expected a tag that {repo_id} does not have; {tag} is the tag of another checkpoint (commit "
                    f"{tags[tag][:8]}), and a release is never changed. Name another tag, or none for the next of v1, "
                    "v2, ..."
                )
            release = _next_release(tags)
            operations = _additions(content, texts[CARD_NAME], repo_id, release, operations)
        commit = commit_at_once(hub, repo_id, "model", operations, _is_outdated, newest, f"Release {release}")
        with_retries(lambda: _create_tag(hub, repo_id, release, commit))
    return Published(repo_id, commit, release, f"{hub.endpoint}/{repo_id}/tree/{release}")


def plan_release(folder: str | PathLike[str]) -> dict[str, int]:
    """List the files that `publish_checkpoint` would upload, after the same checks; the Hub is not asked.

    The card's size is that before its Python code is pinned to a repository and a tag, which adds a few bytes to it.

    Args:
        folder: The checkpoint, as training writes it (`<output_dir>/final`).

    Returns:
        Path in the repository -> size in bytes, in ascending order of the paths.

    Raises:
        FileNotFoundError: The folder is no checkpoint, has no card, or lacks files that loading needs.
        ValueError: A file contains a token of the Hub, or the weights are pickles.
    """
    from huggingface_hub import get_token

    files = release_files(folder)
    texts = _published_texts(files, get_token())
    return {path: len(texts[path].encode()) if path in texts else file.stat().st_size for path, file in files.items()}


def _published_texts(files: Mapping[str, Path], token: str | None) -> dict[str, str]:
    """Return the text files of a release without paths of this machine, after a check that none contains a token."""
    texts = {path: without_paths(file.read_text("utf-8")) for path, file in files.items() if path.endswith(TEXTS)}
    check_no_tokens(texts, token)
    return texts


def _additions(
    content: Mapping[str, bytes | Path],
    card: str,
    repo_id: str,
    release: str,
    known: list[CommitOperationAdd] | None = None,
) -> list[CommitOperationAdd]:
    """Make the operations that add the files of a release, with the card pinned to it.

    The operations of `known` are reused for all files but the card, which is the only one that names the release.
    """
    from huggingface_hub import CommitOperationAdd

    pinned = CommitOperationAdd(CARD_NAME, pin_snippets(card, repo_id, release).encode())
    others = known or [CommitOperationAdd(path, value) for path, value in content.items() if path != CARD_NAME]
    return [*(addition for addition in others if addition.path_in_repo != CARD_NAME), pinned]


def _is_outdated(path: str) -> bool:
    """Say whether a file that the release does not have is deleted: earlier weights and the state of a training run."""
    return is_run_state(path) or any(fnmatch(path.split("/")[-1], pattern) for pattern in REPLACED)


def _tags(hub: HfApi, repo_id: str) -> dict[str, str]:
    """Return the SHA of the commit of each tag."""
    return {ref.name: ref.target_commit for ref in hub.list_repo_refs(repo_id).tags}


def _create_tag(hub: HfApi, repo_id: str, tag: str, commit: str) -> None:
    found = _tags(hub, repo_id).get(tag)  # the tag exists if the answer to an earlier attempt was lost
    if found is None:
        hub.create_tag(repo_id, tag=tag, revision=commit)
    elif found != commit:
        raise ValueError(
            f"expected to create the tag {tag} of {repo_id}; somebody else has created it since this push began. "
            "Repeat the call with another tag"
        )


def _release_at(tags: Mapping[str, str], commit: str | None) -> str | None:
    """Return the tag vN with the highest N among those of a commit."""
    numbers = [int(match[1]) for name, oid in tags.items() if oid == commit and (match := _RELEASE.fullmatch(name))]
    return f"v{max(numbers)}" if numbers else None


def _next_release(tags: Mapping[str, str]) -> str:
    return f"v{1 + max((int(match[1]) for name in tags if (match := _RELEASE.fullmatch(name))), default=0)}"
