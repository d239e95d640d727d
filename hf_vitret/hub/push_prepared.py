"""A prepared data set published on the Hub: checked, resumable, private until somebody says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..data.preparation.parquet_shards import DATA_FOLDER
from ..data.preparation.prepared_folder import MANIFEST_NAME, check_files
from .model_card import CARD_NAME
from .pushing import errors_in_words, find_token, make_repository

if TYPE_CHECKING:
    from os import PathLike


def push_prepared(folder: str | PathLike[str], repo_id: str, *, private: bool = True, token: str | None = None) -> str:
    """Upload a folder that `prepare_dataset` wrote, with its card, to a data set of the Hub.

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
        ValueError: Files have changed since they were written; there is no token, or not one that may do this; the
            repository is there and is public where `private` was asked for, or the other way round.
        OSError: The Hub cannot be reached, or fails; nothing is lost, and the call can be repeated.
    """
    from huggingface_hub import HfApi

    check_files(folder)
    if not (Path(folder) / CARD_NAME).is_file():
        raise FileNotFoundError(f"{folder} has no {CARD_NAME}; write one with write_dataset_card")
    hub = HfApi(token=find_token(token), library_name="hf_vitret")
    with errors_in_words(repo_id, folder):
        make_repository(hub, repo_id, "dataset", private=private)
        commit = hub.upload_folder(
            folder_path=str(folder),
            repo_id=repo_id,
            repo_type="dataset",
            allow_patterns=[CARD_NAME, MANIFEST_NAME, f"{DATA_FOLDER}/*.parquet"],
            delete_patterns=[f"{DATA_FOLDER}/*.parquet"],
            commit_message="Upload a data set prepared by hf_vitret",
        )
    return str(commit.oid)
