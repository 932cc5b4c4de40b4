"""Send a written submission: a pull request to mteb's results, one to the model on the Hub. Nothing else here needs a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from huggingface_hub import HfApi
from mteb.cache import ResultCache
from mteb.models.model_meta import ModelMeta

from gecko_hf.errors import SubmissionError


def require_same_weights(folder: Path, hub_id: str, commit: str) -> None:
    """Refuse to file results under a commit that holds other weights than those that were measured.

    Args:
        folder: The checkpoint that was measured.
        hub_id: Where it is said to be.
        commit: At which commit.

    Raises:
        SubmissionError: If a weight file is missing there or differs, or the checkpoint has none that can be compared.
    """
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        raise SubmissionError(
            f"{folder} holds no .safetensors file, so its weights cannot be compared. Save it in that form."
        )
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


def send(meta: ModelMeta, out: Path) -> list[str]:
    """Open both pull requests.

    Args:
        meta: The model at its full width; mteb takes the narrower widths of the same name along.
        out: What `write_submission` wrote.

    Returns:
        Their addresses, as the services gave them.
    """
    answer = ResultCache(out).submit_results([meta], create_pr=True)
    commit = HfApi().upload_folder(
        repo_id=str(meta.name),
        folder_path=str(out / "hub" / ".eval_results"),
        path_in_repo=".eval_results",
        commit_message=f"Add mteb results of {meta.revision}",
        create_pr=True,
    )
    return [str(answer.get("pr_url", answer)), str(commit.pr_url)]
