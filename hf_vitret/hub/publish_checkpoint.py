"""A checkpoint published on the Hub: one commit, one tag, nothing in it but what is to be used and read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.run_state import is_run_state
from .hub_client import errors_in_words, find_token, make_repository, patiently
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
# Weights, and their exports, of which a release has its own or none: an older `model.safetensors` would be loaded in
# the place of newer ones in several files.
REPLACED = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.onnx", "*.onnx_data")


@dataclass(frozen=True)
class Published:
    """Where a release is.

    Attributes:
        repo_id: Owner and name.
        commit: Name of the commit.
        tag: Name of the tag on it.
        url: Address of its page.
    """

    repo_id: str
    commit: str
    tag: str
    url: str

    @property
    def snippet(self) -> str:
        """Python that loads this release and no other."""
        return f'AutoModel.from_pretrained("{self.repo_id}", revision="{self.tag}", trust_remote_code=True)'


def publish_checkpoint(
    folder: str | PathLike[str], repo_id: str, *, private: bool = True, token: str | None = None, tag: str | None = None
) -> Published:
    """Upload a checkpoint with its card, pictures, results and exports as one commit, and tag it.

    All files arrive or none do: large ones go to the storage first, where nobody sees them, and one commit names them
    all (`create_commit`; the client's `upload_folder` makes several where its Xet transfer is installed, and a reader
    could load one half of each). What was uploaded before an interruption is not uploaded again: repeat the call. A
    checkpoint that is there already, under its tag, is left alone.

    In what is uploaded, and not in the folder, the card's Python loads this tag of this repository, and paths of this
    machine are shortened to their last part. Weights of an earlier release that this one does not have are removed,
    and so are the checkpoints of a run that was pushed while it trained; other files of the repository stay.

    Args:
        folder: The checkpoint, as a recipe writes it (`<output_dir>/final`).
        repo_id: Owner and name; it is made if it is not there.
        private: Whether only its owner may see it.
        token: A token of the Hub that may write; default: that of `hf auth login` or HF_TOKEN.
        tag: Name of the release; default: v1, v2, ... , the next one.

    Returns:
        Where the release is.

    Raises:
        FileNotFoundError: It is no checkpoint, has no card, or lacks files that loading needs.
        ValueError: There is no token, or not one that may do this; a file has a token in it; the weights are pickles;
            the tag is there already, with something else; the repository is public where `private` was asked for, or
            the other way round.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached, or fails; nothing is lost, and
            the call can be repeated.
    """
    from huggingface_hub import HfApi

    files = release_files(folder)
    token = find_token(token)
    texts = {path: without_paths(file.read_text("utf-8")) for path, file in files.items() if path.endswith(TEXTS)}
    check_no_tokens(texts, token)
    content: dict[str, bytes | Path] = {**files, **{path: text.encode() for path, text in texts.items()}}
    hub = HfApi(token=token, library_name="hf_vitret")
    with errors_in_words(repo_id, folder):
        make_repository(hub, repo_id, "model", private=private)
        there = patiently(lambda: hub.model_info(repo_id, files_metadata=True))
        tags = patiently(lambda: _tags(hub, repo_id))
        release = tag or _newest(tags, there.sha) or _next(tags)
        operations = _additions(content, texts[CARD_NAME], repo_id, release)
        if release in tags and (tags[release] != there.sha or changes(operations, _is_outdated, there.siblings)):
            if tag:
                raise ValueError(
                    f"{repo_id} has a tag {tag} already, of another checkpoint (commit {tags[tag][:8]}): name another "
                    "tag, or none, for the next of v1, v2, ...; a release stays what it was"
                )
            release = _next(tags)
            operations = _additions(content, texts[CARD_NAME], repo_id, release, operations)
        commit = commit_at_once(hub, repo_id, "model", operations, _is_outdated, there, f"Release {release}")
        patiently(lambda: _tag(hub, repo_id, release, commit))
    return Published(repo_id, commit, release, f"{hub.endpoint}/{repo_id}/tree/{release}")


def _additions(
    content: Mapping[str, bytes | Path],
    card: str,
    repo_id: str,
    release: str,
    known: list[CommitOperationAdd] | None = None,
) -> list[CommitOperationAdd]:
    """Make what adds each file, the card pinned to the release; of `known` those that are the same for each release."""
    from huggingface_hub import CommitOperationAdd

    pinned = CommitOperationAdd(CARD_NAME, pin_snippets(card, repo_id, release).encode())
    others = known or [CommitOperationAdd(path, value) for path, value in content.items() if path != CARD_NAME]
    return [*(addition for addition in others if addition.path_in_repo != CARD_NAME), pinned]


def _is_outdated(path: str) -> bool:
    """Tell whether a file that a release does not have goes: weights of an earlier one, and what a run goes on from."""
    return is_run_state(path) or any(fnmatch(path.split("/")[-1], pattern) for pattern in REPLACED)


def _tags(hub: HfApi, repo_id: str) -> dict[str, str]:
    """Return the commit of each tag."""
    return {ref.name: ref.target_commit for ref in hub.list_repo_refs(repo_id).tags}


def _tag(hub: HfApi, repo_id: str, tag: str, commit: str) -> None:
    found = _tags(hub, repo_id).get(tag)  # ours, where the answer of the first attempt was lost
    if found is None:
        hub.create_tag(repo_id, tag=tag, revision=commit)
    elif found != commit:
        raise ValueError(f"{repo_id} has got a tag {tag} from somebody else meanwhile: repeat the call with another")


def _newest(tags: Mapping[str, str], commit: str | None) -> str | None:
    """Return the newest release that is at a commit."""
    numbers = [int(match[1]) for name, oid in tags.items() if oid == commit and (match := _RELEASE.fullmatch(name))]
    return f"v{max(numbers)}" if numbers else None


def _next(tags: Mapping[str, str]) -> str:
    return f"v{1 + max((int(match[1]) for name in tags if (match := _RELEASE.fullmatch(name))), default=0)}"
