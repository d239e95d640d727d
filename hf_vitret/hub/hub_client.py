"""What every push to the Hub needs: a token, a repository of the right kind, patience, and errors in words."""

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

# What huggingface_hub repeats an upload after (its `http_backoff`), and about how long it waits in between, in seconds.
BUSY = (408, 429, 500, 502, 503, 504)
WAITS = (1, 2, 4, 8, 8)
MAX_WAIT = 300.0  # the Hub's limits are counted in windows of five minutes


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


def make_repository(hub: HfApi, repo_id: str, kind: str, *, private: bool) -> None:
    """Make a repository if it is not there, and check that it is as private as was asked for.

    Args:
        hub: The client, with its token.
        repo_id: Owner and name.
        kind: "model" or "dataset".
        private: Whether only its owner may see it.

    Raises:
        ValueError: It is there, and public where `private` was asked for, or the other way round.
    """
    patiently(lambda: hub.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True))
    is_private = bool(patiently(lambda: hub.repo_info(repo_id, repo_type=kind)).private)
    if is_private != private:
        there, asked = ("private", "public") if is_private else ("public", "private")
        raise ValueError(
            f"{repo_id} is there and is {there}; {asked} was asked for. Ask for {there}, change it on the Hub, or "
            "name another repository. Nothing was uploaded"
        )


def patiently(call: Callable[[], T]) -> T:
    """Call until it succeeds, where the Hub is busy or the connection drops; six times at the most.

    For what huggingface_hub sends once only: making a repository, looking at one, the commit, the tag. Its uploads it
    repeats by itself. The call must do no harm when it is repeated after one whose answer was lost.

    Raises:
        HTTPError: The last one; at once where repeating would not help (401, 403, 404, 409, 412).
    """
    # Of whichever library the client's version speaks HTTP with.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    for wait in WAITS:
        try:
            return call()
        except HTTPError as error:
            asked = None
            if isinstance(error, HfHubHTTPError):
                if error.response.status_code not in BUSY:
                    raise
                asked = error.response.headers.get("Retry-After")
            seconds = min(float(asked), MAX_WAIT) if asked and asked.isdecimal() else float(wait)
            logger.warning("the Hub did not answer as it should (%s); again in %g s", error, seconds)
        time.sleep(seconds)
    return call()


@contextmanager
def errors_in_words(repo_id: str, folder: str | PathLike[str]) -> Iterator[None]:
    """Say what a failed push means, and what to do.

    Raises:
        ValueError: The token may not do this, or may not see the repository.
        OSError: Somebody else pushed at the same time, or the Hub cannot be reached, or fails.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    try:
        yield
    # The client's own errors of a connection, and what it makes of one that ends inside an upload.
    except (HTTPError, RuntimeError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status in (401, 403):
            raise ValueError(
                f"the Hub does not let this token write to {repo_id} ({status}): it needs the role "
                "'write' and the right to the repository's owner. Nothing is lost: repeat the call with another token"
            ) from error
        if status == 404:
            raise ValueError(
                f"the Hub has no {repo_id} that this token may see (404): look whether the name is right, and whether "
                "somebody has removed it meanwhile. Nothing is lost"
            ) from error
        if status in (409, 412):
            raise OSError(
                f"the push to {repo_id} broke off: somebody else is changing it, or has since this push began "
                f"({status}). Nothing is lost, and nothing of theirs is overwritten: look at what they did, then "
                "repeat the call"
            ) from error
        raise OSError(
            f"the push to {repo_id} broke off: {error}. Nothing is lost: {folder} is whole, and the same call goes on "
            "with what was not uploaded yet"
        ) from error
