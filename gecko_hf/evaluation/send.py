"""Send a written submission: a pull request to mteb's results, one to the model on the Hub. Nothing else here needs a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi
from mteb.cache import result_cache
from mteb.models.model_meta import ModelMeta

from gecko_hf.errors import SubmissionError, require
from gecko_hf.hub.client import plain_errors, writer


def require_access(hub_id: str) -> None:
    """Refuse what could not be sent, before anything is written: tokens of both services, and the package for one of them.

    Raises:
        HubError: If there is no token of the Hub, or it may not write.
        MissingExtraError: If PyGithub is not installed.
        SubmissionError: If there is no GitHub token.
    """
    writer(hub_id)
    require("github", "submit")
    try:
        result_cache.check_pr_requirements()  # type: ignore[attr-defined]  # by itself mteb asks after a download
    except RuntimeError as error:
        raise SubmissionError(f"mteb's results are a repository on GitHub: {error}") from error


def require_same_weights(folder: Path, hub_id: str, commit: str) -> None:
    """Refuse to file results under a commit that holds other weights than those that were measured.

    Args:
        folder: The checkpoint that was measured.
        hub_id: Where it is said to be.
        commit: At which commit.

    Raises:
        HubError: If there is no such model or commit.
        SubmissionError: If a weight file is missing there or differs, or the checkpoint has none that can be compared.
    """
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        raise SubmissionError(
            f"{folder} holds no .safetensors file, so its weights cannot be compared. Save it in that form."
        )
    with plain_errors(hub_id):
        info = HfApi().model_info(hub_id, revision=commit, files_metadata=True)
    pushed = {s.rfilename: s.lfs.sha256 for s in info.siblings or [] if s.lfs}
    for file in weights:
        name = file.relative_to(folder).as_posix()
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if pushed.get(name) != digest:
            what = "holds other weights than" if name in pushed else "does not have"
            raise SubmissionError(
                f"{hub_id} at {commit} {what} {file}. Push this model, then give the commit of that push."
            )


def send(meta: ModelMeta, out: Path) -> Iterator[str]:
    """Open both pull requests, that to one's own model first: should the other fail, nothing of mteb's stands half done.

    Args:
        meta: The model at its full width; mteb takes the narrower widths of the same name along.
        out: What `write_submission` wrote.

    Yields:
        Their addresses, each as soon as the service gave it.

    Raises:
        HubError: If the Hub refuses the first.
        SubmissionError: If the other cannot be opened.
    """
    with plain_errors(str(meta.name)):
        commit = HfApi().upload_folder(
            repo_id=str(meta.name),
            folder_path=str(out / "hub" / ".eval_results"),
            path_in_repo=".eval_results",
            commit_message=f"Add mteb results of {meta.revision}",
            create_pr=True,
        )
    yield str(commit.pr_url)
    try:
        answer = result_cache.ResultCache(out).submit_results([meta], create_pr=True)
    except Exception as error:  # git's, PyGithub's and the network's have no base in common
        raise SubmissionError(
            f"The pull request to mteb's results could not be opened ({type(error).__name__}: {' '.join(str(error).split())}). "
            f"The files for it are in {out / 'results'}; that to the model is open and needs no other."
        ) from error
    yield str(answer.get("pr_url") or f"mteb's results: {answer['status']}")
