"""A prepared data set published on the Hub: checked, resumable, private until somebody says otherwise."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.preparation.parquet_shards import DATA_FOLDER
from ..data.preparation.prepared_folder import MANIFEST_NAME, check_files
from .hub_client import errors_in_words, find_token, make_repository, patiently
from .model_card import CARD_NAME
from .one_commit import commit_at_once
from .private_strings import check_no_tokens

if TYPE_CHECKING:
    from os import PathLike

SHARDS = f"{DATA_FOLDER}/*.parquet"


def publish_dataset(
    folder: str | PathLike[str], repo_id: str, *, private: bool = True, token: str | None = None
) -> str:
    """Upload a folder that `prepare_dataset` wrote, with its card, to a data set of the Hub, by one commit.

    What was uploaded before an interruption is not uploaded again: repeat the call. The local folder stays as it is.
    Shards of an earlier version that this one does not have are removed, so that the splits are these and no others;
    other files of the repository stay.

    Args:
        folder: The prepared folder, with its card (`write_dataset_card`).
        repo_id: Owner and name; it is made if it is not there.
        private: Whether only its owner may see it. The licences of the field's data sets rarely allow more.
        token: A token of the Hub that may write; default: that of `hf auth login` or HF_TOKEN.

    Returns:
        The name of the commit, for `load_dataset(repo_id, revision=...)`.

    Raises:
        FileNotFoundError: The folder is not a prepared one, has no card, or lacks files.
        ValueError: Files have changed since they were written; there is no token, or not one that may do this, or one
            in the card; the repository is there and is public where `private` was asked for, or the other way round.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached, or fails; nothing is lost, and
            the call can be repeated.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_files(folder)
    root = Path(folder)
    if not (root / CARD_NAME).is_file():
        raise FileNotFoundError(f"{folder} has no {CARD_NAME}; write one with write_dataset_card")
    token = find_token(token)
    texts = [root / name for name in (CARD_NAME, MANIFEST_NAME)]
    check_no_tokens({path.name: path.read_text("utf-8") for path in texts}, token)
    hub = HfApi(token=token, library_name="hf_vitret")
    with errors_in_words(repo_id, folder):
        make_repository(hub, repo_id, "dataset", private=private)
        there = patiently(lambda: hub.dataset_info(repo_id, files_metadata=True))
        files = [*texts, *sorted(root.glob(SHARDS))]
        return commit_at_once(
            hub,
            repo_id,
            "dataset",
            [CommitOperationAdd(path.relative_to(root).as_posix(), path) for path in files],
            lambda path: fnmatch(path, SHARDS),
            there,
            "Upload a data set prepared by hf_vitret",
        )
