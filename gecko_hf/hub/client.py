"""The Hub as this package uses it: one client, and one plain sentence for each way in which it can say no.

Every message is written here, so that no token, address with a signature, or trace of a library reaches a person or a log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gecko_hf.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."


def check_repo_id(repo_id: str) -> None:
    """Refuse what cannot be the name of a repository, before any work.

    Raises:
        HubError: If it is not `owner/name` in the Hub's alphabet.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        valid = False
    else:
        valid = repo_id.count("/") == 1
    if not valid:
        raise HubError(
            f"{repo_id!r} is no repository id. Write owner/name with letters, digits, '-', '_' and '.', "
            "for example my-org/my-gecko."
        )


def writer(repo_id: str) -> HfApi:
    """A client whose token is known to be valid and not read-only.

    Raises:
        HubError: If the id is no repository id, there is no token, the Hub refuses it, or it may only read.
    """
    from huggingface_hub import HfApi, get_token

    check_repo_id(repo_id)
    if get_token() is None:
        raise HubError(f"There is no Hub token here, and writing to {repo_id} needs one. {LOG_IN}")
    api = HfApi()
    with plain_errors(repo_id):
        role = api.whoami().get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError(f"The Hub token is read-only, and {repo_id} is to be written. {LOG_IN} with a write token.")
    return api


@contextmanager
def plain_errors(repo_id: str, done: str = "") -> Iterator[None]:
    """Turn what the Hub's client raises in this block into a `HubError` about this repository.

    Args:
        repo_id: The repository.
        done: What was changed there before this block, and what to do now; by default nothing was.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    try:
        yield
    except OfflineModeIsEnabled:
        raise HubError("HF_HUB_OFFLINE is set, so the Hub cannot be reached. Unset it and run again.") from None
    except (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        httpx.HTTPError,
        ConnectionError,
        TimeoutError,
        RuntimeError,
        ValueError,
    ) as error:
        message = _explain(_root(error), repo_id, unchanged=not done)
        if message is None:
            raise  # not the Hub's doing: a bug, which keeps its trace
        raise HubError(f"{message} {done}" if done else message) from None


def _root(error: BaseException) -> BaseException:
    """The error under the client's own, which tells only the file, or that a download which failed is not in the cache."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while (type(error) is RuntimeError or isinstance(error, LocalEntryNotFoundError)) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _explain(error: BaseException, repo_id: str, *, unchanged: bool) -> str | None:
    """One message for one error of the client; None for an error that is not the Hub's."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if isinstance(error, (httpx.TransportError, ConnectionError, TimeoutError)):
        said = f"The connection to the Hub broke off or could not be made ({type(error).__name__})."
        goes_on = "has not changed; the same command goes on, and what was sent is not sent again."
        return f"{said} What readers see of {repo_id} {goes_on}" if unchanged else said
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no such revision. Name a branch, a tag, or a whole commit id."
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no {repo_id} on the Hub, or this token may not see it. Check the name. {LOG_IN}"
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _by_status(error.response.status_code, error, repo_id, unchanged=unchanged)
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata in README.md"):
        return f"The Hub refuses the card of {repo_id}: {_one_line(str(error))}"
    if isinstance(error, ValueError) and str(error).startswith("LFS batch API returned errors"):
        return f"The Hub refuses a file of {repo_id}: {_one_line(str(error).partition(chr(10))[2])}"
    return None


def _by_status(status: int, error: BaseException, repo_id: str, *, unchanged: bool) -> str:
    if status == 401:
        return f"The Hub refuses the token (401). {LOG_IN}"
    if status == 403:
        return f"The token may not write to {repo_id} (403). Use a token with the role write in that namespace."
    if status == 409:
        return f"{repo_id} was being changed by somebody else (409). Run the same command again."
    if status == 412:
        return f"Somebody else committed to {repo_id} in the meantime (412). Run the same command again."
    if status == 429:
        said = "The Hub asks for fewer requests (429)."
        return f"{said} Nothing of {repo_id} has changed; run the same command later." if unchanged else said
    server = getattr(error, "server_message", None)
    return f"The Hub answered {status} for {repo_id}{f': {_one_line(server)}' if server else ''}."


def _one_line(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    plain = text.replace(token, "***") if token else text
    return " ".join(plain.split())
