"""Make a repository on the Hub hold exactly a set of files, in one commit.

Large files go first and stay invisible; one commit then shows everything, and a tag comes last. So whoever reads `main` sees the
old state or the new one, a push that was cut off goes on without sending again what arrived, and one that changes nothing
makes no commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gecko_hf.errors import HubError
from gecko_hf.hub.client import plain_errors
from gecko_hf.hub.fret_recipe import fret_differences
from gecko_hf.run_folder import differences

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

Kind = Literal["dataset", "model", "space"]
Content = Path | bytes
Files = Mapping[str, Content]  # path in the repository -> what it holds

PROVENANCE = "provenance.json"
CARD = "README.md"
KEPT = (".gitattributes",)  # the Hub's own
NAMES = {"dataset": "data set", "model": "model", "space": "Space"}


@dataclass(frozen=True)
class Target:
    """Where to push, and what may happen there.

    Attributes:
        kind: Kind of repository.
        id: `owner/name`.
        private: Whether it is private; None leaves an existing one as it is and makes a new one private.
        tag: A tag for the commit, or None.
        force: Whether another recipe's artefact, files that gecko_hf did not write, or what was edited there may be replaced.
    """

    kind: Kind
    id: str
    private: bool | None = None
    tag: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Difference:
    """What a push has to do: paths to send and to delete, and how many files are there already."""

    send: list[str]
    delete: list[str]
    unchanged: int
    bytes: int

    def __str__(self) -> str:
        """`2 files to send (1.3 MB), 5 unchanged, 1 to delete`."""
        files = "1 file" if len(self.send) == 1 else f"{len(self.send)} files"
        removed = f", {len(self.delete)} to delete" if self.delete else ""
        return f"{files} to send ({self.bytes / 1e6:.1f} MB), {self.unchanged} unchanged{removed}"


class Publisher:
    """One push: look (`difference`), then act (`push`, and `finish`).

    Args:
        api: A client that may write.
        target: Where to.
        files: Everything that the repository is to hold, with a `provenance.json`.

    Raises:
        HubError: If the repository holds another recipe's artefact, foreign files or an edited card or Space, or the tag names
            other content.
    """

    def __init__(self, api: HfApi, target: Target, files: Files) -> None:
        self.api, self.target, self.files = api, target, dict(files)
        with plain_errors(target.id):
            self.head, self.private = self._look()
            theirs = self._tree() if self.head else {}
            self.difference = self._compare(theirs)
            self.tagged = self._refs() if self.head else {}
        self._check_tag()

    def push(self) -> str:
        """Commit the files; returns the id of the commit that holds them. `finish` does what is to follow."""
        target = self.target
        with plain_errors(target.id):
            if self.head is None:
                private = target.private is not False
                sdk = "gradio" if target.kind == "space" else None
                self.api.create_repo(target.id, repo_type=target.kind, private=private, space_sdk=sdk, exist_ok=True)
                self.head, self.private = self._look()
            if target.private:
                self._show(private=True)
            return self._commit()

    def finish(self, commit: str) -> None:
        """Make the repository public, if that is asked for, and tag the commit.

        Raises:
            HubError: If the Hub refuses: it says that the commit is made, and what is not.
        """
        target, tag = self.target, self.target.tag
        made = f"The commit {commit} is made, but {target.id}"
        # Only after the commit: what is refused must not have shown what was there before.
        if target.private is False:
            untagged = f" and has no tag {tag}" if tag else ""
            with plain_errors(target.id, f"{made} is still private{untagged}. The same command goes on from there."):
                self._show(private=False)
        if tag and self.tagged.get(tag) != commit:
            with plain_errors(target.id, f"{made} has no tag {tag}. The same command goes on from there."):
                self.api.create_tag(target.id, repo_type=target.kind, tag=tag, revision=commit)

    def _show(self, *, private: bool) -> None:
        if private != self.private:
            self.api.update_repo_settings(self.target.id, repo_type=self.target.kind, private=private)
            self.private = private

    def _commit(self) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        assert self.head is not None
        if not self.difference.send and not self.difference.delete:
            return self.head
        adds = [CommitOperationAdd(path, self.files[path]) for path in self.difference.send]
        deletes = [CommitOperationDelete(path) for path in self.difference.delete]
        made = self.api.create_commit(
            self.target.id,
            [*adds, *deletes],
            repo_type=self.target.kind,
            commit_message=f"Upload {NAMES[self.target.kind]} with gecko_hf",
            parent_commit=self.head,  # somebody else's commit in between is refused, not overwritten
        )
        return str(made.oid)

    def _look(self) -> tuple[str | None, bool]:
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = self.api.repo_info(self.target.id, repo_type=self.target.kind)
        except RepositoryNotFoundError:
            return None, True
        return str(info.sha), bool(info.private)

    def _tree(self) -> dict[str, RepoFile]:
        from huggingface_hub.hf_api import RepoFile

        entries = self.api.list_repo_tree(
            self.target.id, repo_type=self.target.kind, revision=self.head, recursive=True
        )
        return {e.path: e for e in entries if isinstance(e, RepoFile)}

    def _refs(self) -> dict[str, str]:
        refs = self.api.list_repo_refs(self.target.id, repo_type=self.target.kind)
        return {tag.name: tag.target_commit for tag in refs.tags}

    def _compare(self, theirs: Mapping[str, RepoFile]) -> Difference:
        found = [path for path in theirs if path not in KEPT and path != CARD]
        stale = self._stale(found, theirs) if found else []
        send = [path for path, content in self.files.items() if not _same(content, theirs.get(path))]
        delete = sorted(path for path in stale if path not in self.files and path in theirs)
        return Difference(send, delete, len(self.files) - len(send), sum(_size(self.files[path]) for path in send))

    def _stale(self, found: list[str], there: Mapping[str, RepoFile]) -> list[str]:
        """The files that go where they are not sent again: those of an earlier push, or all where something else is replaced."""
        name, target = NAMES[self.target.kind], self.target
        if PROVENANCE not in found:
            if not target.force:
                raise HubError(
                    f"The {name} {target.id} holds {len(found)} files that gecko_hf did not write ({found[0]}, ...). "
                    "Choose another name, or replace them all: --force"
                )
            return found
        theirs = read_provenance(self.api, target.kind, target.id, self.head or "main")
        mine = json.loads(_bytes(self.files[PROVENANCE]))
        compare = fret_differences if target.kind == "dataset" else differences
        different = compare(theirs.get("recipe", {}), mine["recipe"])
        if theirs.get("kind") != mine["kind"]:
            different = ["kind", *different]
        if different and not target.force:
            shown = ", ".join(different[:6]) + (" and more" if len(different) > 6 else "")
            raise HubError(
                f"The {name} {target.id} was made with another recipe; it differs in {shown}. "
                "Choose another name, or replace it: --force"
            )
        if different:
            return found
        pushed = {CARD: theirs.get("card"), **theirs.get("git_ids", {})}
        edited = [
            "card" if path == CARD else path
            for path in pushed.keys() & there.keys() & self.files.keys()
            if pushed[path] not in (None, there[path].blob_id) and not _same(self.files[path], there[path])
        ]
        if edited and not target.force:
            names, were = " and ".join(sorted(edited)), "was" if len(edited) == 1 else "were"
            raise HubError(
                f"The {names} of {target.id} {were} edited since it was pushed, and this push would write over that. Keep a copy "
                f"of what was added; --force writes the {names} anew and leaves files of others as they are."
            )
        return list(theirs.get("files", {}))

    def _check_tag(self) -> None:
        tag = self.target.tag
        if tag not in self.tagged:
            return
        changes = self.difference.send or self.difference.delete
        if changes or self.tagged[tag] != self.head:
            raise HubError(
                f"The tag {tag} of {self.target.id} names commit {self.tagged[tag][:12]}, which holds something else, "
                "and a tag that is out stays. Choose another: --tag NEW"
            )


def read_provenance(api: HfApi, kind: Kind, repo_id: str, revision: str) -> dict[str, Any]:
    """The `provenance.json` of a repository.

    Raises:
        EntryNotFoundError: If it has none.
    """
    file = api.hf_hub_download(repo_id, PROVENANCE, repo_type=kind, revision=revision)
    found: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    return found


def declared_licence(api: HfApi, target: Target) -> str | None:
    """The licence that a card on the Hub declares; None without one, or where the other files are not gecko_hf's."""
    from huggingface_hub.errors import RepositoryNotFoundError

    with plain_errors(target.id):
        try:
            info: Any = api.repo_info(target.id, repo_type=target.kind)
        except RepositoryNotFoundError:
            return None
    found = {file.rfilename for file in info.siblings or []} - {CARD, *KEPT}
    if info.card_data is None or (found and PROVENANCE not in found):
        return None
    licence = info.card_data.get("license")
    if isinstance(licence, list):  # as a data set's may be
        return str(licence[0]) if len(licence) == 1 else f"[{', '.join(map(str, licence))}]"
    return None if licence is None else str(licence)


def git_id(data: bytes) -> str:
    """The id by which git, and so the Hub, names the bytes of a small file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(content: Content) -> str:
    """Hash of a file's bytes, read in blocks."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(content: Content, theirs: RepoFile | None) -> bool:
    """Whether the Hub holds these bytes: it names large files by sha256 and small ones by their git id."""
    if theirs is None or theirs.size != _size(content):
        return False
    if theirs.lfs is not None:
        return theirs.lfs.sha256 == sha256(content)
    return theirs.blob_id == git_id(_bytes(content))


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
