"""Requests to the Hugging Face Hub: the token, the creation of repositories, retries and error messages."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The statuses after which huggingface_hub repeats an upload (its `http_backoff`), and about its waits, in seconds.
RETRIED_STATUSES = (408, 429, 500, 502, 503, 504)
WAITS = (1, 2, 4, 8, 8)
MAX_WAIT = 300.0  # seconds: the Hub counts its rate limits in windows of five minutes


def find_token(token: str | None = None) -> str:
    """Find the token to push with: the given one, else that of `hf auth login` or of the variable HF_TOKEN.

    Args:
        token: A token of the Hub; `None` looks for a stored one.

    Returns:
        The token.

    Raises:
        ValueError: No token was given or stored.
    """
    from huggingface_hub import get_token

    token = token or get_token()
    if token is None:
        raise ValueError(
            "pushing to the Hub needs a token that may write (https://huggingface.co/settings/tokens); none was found. "
            "Run hf auth login, or set HF_TOKEN, and repeat the call. Nothing is lost"
        )
    return token


def make_repository(hub: HfApi, repo_id: str, kind: str, *, private: bool) -> None:
    """Create a repository if it does not exist, and check that it has the requested visibility.

    Args:
        hub: The client, with its token.
        repo_id: Owner and name of the repository.
        kind: "model" or "dataset".
        private: Whether the repository is to be visible to its owner only.

    Raises:
        ValueError: The repository exists, and it is public although `private` was requested, or the reverse.
    """
    with_retries(lambda: hub.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True))
    is_private = bool(with_retries(lambda: hub.repo_info(repo_id, repo_type=kind)).private)
    if is_private != private:
        found, requested = ("private", "public") if is_private else ("public", "private")
        raise ValueError(
            f"expected the repository {repo_id} to be {requested}; it exists and is {found}. Request a {found} "
            "repository, change the visibility on the Hub, or name another repository. Nothing was uploaded"
        )


def with_retries(call: Callable[[], T]) -> T:
    """Send a request to the Hub, and repeat it while the Hub is busy or the connection fails: six attempts at most.

    This is for the requests that huggingface_hub sends only once: creating a repository, reading its state, committing
    and tagging. The client repeats uploads by itself.

    Args:
        call: A function that sends the request. It must be safe to repeat after an attempt whose answer was lost.

    Returns:
        The result of the call.

    Raises:
        HTTPError: The error of the last attempt. An error that repeating does not mend (such as 401, 403, 404, 409 and
            412) is raised at once.
    """
    # The class HTTPError belongs to the HTTP library that the installed version of the client uses.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    for wait in WAITS:
        try:
            return call()
        except HTTPError as error:
            retry_after = None
            if isinstance(error, HfHubHTTPError):
                if error.response.status_code not in RETRIED_STATUSES:
                    raise
                retry_after = error.response.headers.get("Retry-After")
            seconds = min(float(retry_after), MAX_WAIT) if retry_after and retry_after.isdecimal() else float(wait)
            logger.warning("a request to the Hub failed (%s); it is repeated in %g s", error, seconds)
        time.sleep(seconds)
    return call()


@contextmanager
def explained_errors(repo_id: str, folder: str | PathLike[str]) -> Iterator[None]:
    """Turn the errors of a failed push inside the `with` block into messages that name the cause and the remedy.

    Args:
        repo_id: Owner and name of the repository that is pushed to.
        folder: The folder that is pushed.

    Raises:
        ValueError: The token may not write to the repository, or the repository does not exist for it.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached or fails.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    try:
        yield
    # HTTPError is the client's error of a failed connection, RuntimeError that of a connection lost during an upload.
    except (HTTPError, RuntimeError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status in (401, 403):
            raise ValueError(
                f"expected a token that may write to {repo_id}; the Hub refused this one ({status}). Use a token with "
                "the role 'write' and with access to the owner of the repository, and repeat the call. Nothing is lost"
            ) from error
        if status == 404:
            raise ValueError(
                f"expected a repository {repo_id} that this token may read; the Hub has none (404). Check the name, "
                "and whether somebody has deleted the repository in the meantime. Nothing is lost"
            ) from error
        if status in (409, 412):
            raise OSError(
                f"the push to {repo_id} failed: somebody else is changing the repository, or has changed it since this "
                f"push began ({status}). Look at their changes, which are not overwritten, and repeat the call. "
                "Nothing is lost"
            ) from error
        raise OSError(
            f"the push to {repo_id} failed: {error}. Repeat the call: it uploads only what is not on the Hub yet. "
            f"Nothing is lost, and {folder} is unchanged"
        ) from error
