"""A prepared data set published on the Hub: checked, resumable, private until somebody says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..data.preparation.parquet_shards import DATA_FOLDER
from ..data.preparation.prepared_folder import MANIFEST_NAME, check_files
from .model_card import CARD_NAME

if TYPE_CHECKING:
    from os import PathLike


def find_token(token: str | None = None) -> str:
    """Return the token to push with: the given one, else that of `hf auth login` or HF_TOKEN.

    Raises:
        ValueError: There is none.
    """
    from huggingface_hub import get_token

    token = token or get_token()
    if token is None:
        raise ValueError(
            "pushing to the Hub needs a token that may write (https://huggingface.co/settings/tokens): run hf auth "
            "login, or set HF_TOKEN, and repeat the call. Nothing is lost"
        )
    return token


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

    # Of whichever library the client's version speaks HTTP with.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    check_files(folder)
    if not (Path(folder) / CARD_NAME).is_file():
        raise FileNotFoundError(f"{folder} has no {CARD_NAME}; write one with write_dataset_card")
    token = find_token(token)
    hub = HfApi(token=token, library_name="hf_vitret")
    try:
        hub.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        is_private = bool(hub.dataset_info(repo_id).private)
        if is_private != private:
            there, asked = ("private", "public") if is_private else ("public", "private")
            raise ValueError(
                f"{repo_id} is there and is {there}; {asked} was asked for. Ask for {there}, change it on the Hub, or "
                "name another repository. Nothing was uploaded"
            )
        commit = hub.upload_folder(
            folder_path=str(folder),
            repo_id=repo_id,
            repo_type="dataset",
            allow_patterns=[CARD_NAME, MANIFEST_NAME, f"{DATA_FOLDER}/*.parquet"],
            delete_patterns=[f"{DATA_FOLDER}/*.parquet"],
            commit_message="Upload a data set prepared by hf_vitret",
        )
    # The client's own errors of a connection, and what it makes of one that ends inside an upload.
    except (HTTPError, RuntimeError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
            raise ValueError(
                f"the Hub does not let this token write to {repo_id} ({error.response.status_code}): it needs the role "
                "'write' and the right to the repository's owner. Nothing is lost: repeat the call with another token"
            ) from error
        raise OSError(
            f"the push to {repo_id} broke off: {error}. Nothing is lost: {folder} is whole, and the same call goes on "
            "with what was not uploaded yet"
        ) from error
    return str(commit.oid)
