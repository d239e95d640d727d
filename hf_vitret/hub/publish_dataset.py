"""Publish a prepared data set on the Hugging Face Hub in one commit."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.preparation.parquet_shards import DATA_FOLDER
from ..data.preparation.prepared_folder import MANIFEST_NAME, check_files
from .hub_client import explained_errors, find_token, make_repository, with_retries
from .model_card import CARD_NAME
from .one_commit import commit_at_once
from .private_strings import check_no_tokens

if TYPE_CHECKING:
    from os import PathLike

SHARDS = f"{DATA_FOLDER}/*.parquet"


def publish_dataset(
    folder: str | PathLike[str], repo_id: str, *, private: bool = True, token: str | None = None
) -> str:
    """Upload a folder that `prepare_dataset` wrote, with its card, to a data set repository in one commit.

    After an interruption, repeat the call: files that were uploaded are not uploaded again. The local folder is not
    changed. Shards in the repository that the folder does not have are deleted, so that the splits are exactly those
    of the folder. Other files of the repository are kept.

    Args:
        folder: The prepared folder, with its card (`write_dataset_card`).
        repo_id: Owner and name of the repository, which is created if it does not exist.
        private: Whether the repository is visible to its owner only. The licences of retrieval data sets rarely allow
            a public copy.
        token: A token of the Hub with write access. Default: that of `hf auth login` or HF_TOKEN.

    Returns:
        The SHA of the commit, for `load_dataset(repo_id, revision=...)`.

    Raises:
        FileNotFoundError: The folder is not a prepared data set, has no card, or lacks files.
        ValueError: Files have changed since they were written; there is no token, or it has no write access; the card
            contains a token; the repository is public although `private` was requested, or the reverse.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached or fails. Nothing is lost, and
            the call can be repeated.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_files(folder)
    root = Path(folder)
    if not (root / CARD_NAME).is_file():
        raise FileNotFoundError(f"expected {CARD_NAME} in {folder}; there is none. Write one with write_dataset_card")
    token = find_token(token)
    texts = [root / name for name in (CARD_NAME, MANIFEST_NAME)]
    check_no_tokens({path.name: path.read_text("utf-8") for path in texts}, token)
    hub = HfApi(token=token, library_name="hf_vitret")
    with explained_errors(repo_id, folder):
        make_repository(hub, repo_id, "dataset", private=private)
        newest = with_retries(lambda: hub.dataset_info(repo_id, files_metadata=True))
        files = [*texts, *sorted(root.glob(SHARDS))]
        return commit_at_once(
            hub,
            repo_id,
            "dataset",
            [CommitOperationAdd(path.relative_to(root).as_posix(), path) for path in files],
            lambda path: fnmatch(path, SHARDS),
            newest,
            "Upload a data set prepared by hf_vitret",
        )
