"""Follow a model on the Hub back to where it comes from, and check every link on the way.

model -> its files, card, prompts and mixtures -> data set at a commit -> its files and rows -> language model, corpus, base
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import HubError
from gecko_hf.hub.client import check_repo_id, plain_errors
from gecko_hf.hub.facts import hub_sources, learns_from_fret
from gecko_hf.hub.provenance import source_rows
from gecko_hf.hub.publish import PROVENANCE, Kind, read_provenance, sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

READ_ROWS = 1_000_000_000  # bytes of parquet that are downloaded without being asked to
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # of what no record says whether it is on the Hub
DATA = ("corpus", "mixture")  # links to data sets; the others are to models
TWO_MODELS = re.compile(r"(.+) \(queries\), (.+) \(scores\)")  # as `WriterAndJudge` names itself
PROMPTS_FILE = "config_sentence_transformers.json"


@dataclass(frozen=True)
class Link:
    """One link of the chain. `ok` is None where something is on record and nothing can be resolved."""

    name: str
    what: str
    ok: bool | None
    says: str


@dataclass
class Trace:
    """The chain of one model.

    Args:
        api: A client; it needs no token for public repositories.
        repo_id: The model.
        revision: Branch, tag or commit.
        rows: Whether to download and check the rows of the data set; None for only up to 1 GB.

    Raises:
        HubError: If the model cannot be read, or was not pushed by gecko_hf.
    """

    api: HfApi
    repo_id: str
    revision: str | None = None
    rows: bool | None = None
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_repo_id(self.repo_id)
        with plain_errors(self.repo_id):
            self._model()

    @property
    def broken(self) -> list[Link]:
        """The links that do not hold."""
        return [link for link in self.links if link.ok is False]

    def _add(self, name: str, what: str, ok: bool | None, says: str) -> None:
        self.links.append(Link(name, what, ok, says))

    def _model(self) -> None:
        commit = str(self.api.model_info(self.repo_id, revision=self.revision).sha)
        record = self._provenance("model", self.repo_id, commit)
        self._add("model", f"{self.repo_id} @ {commit}", True, f"made {record['made_at']}")
        self._files("model", self.repo_id, commit, record)
        config = json.loads(self._read(self.repo_id, "model", commit, PROMPTS_FILE).read_text(encoding="utf-8"))
        same = config.get("prompts") == record["prompts"]
        self._add("prompts", f"{len(record['prompts'])} prompts", same, _agree(same, f"with {PROMPTS_FILE}"))
        self._base("base", record["base"])
        for source, revision in hub_sources(record.get("mixtures", {})):  # an earlier version recorded none
            self._resolve("mixture", source, revision, "revision", on_hub=True)
        link = record["data_set"]
        if link is None and not learns_from_fret(record["recipe"]):
            self._add("data set", "none", None, "its recipe trains on no FRet")
            return
        if link is None:
            self._add("data set", "none", False, "the model was pushed before its data set; push both again")
            return
        card = self._read(self.repo_id, "model", commit, "README.md").read_text(encoding="utf-8")
        named = link["id"] in card and link["commit"] in card
        self._add("card", "README.md", named, _agree(named, "with the data set on record"))
        self._data_set(link["id"], link["commit"])

    def _data_set(self, repo_id: str, commit: str) -> None:
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            self.api.dataset_info(repo_id, revision=commit)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            self._add("data set", f"{repo_id} @ {commit}", False, "not on the Hub, or not visible to this token")
            return
        record = self._provenance("dataset", repo_id, commit)
        self._add("data set", f"{repo_id} @ {commit}", True, f"{record['rows']:,} rows, made {record['made_at']}")
        self._files("dataset", repo_id, commit, record)
        for source in record["llm"]:
            self._language_models(source["id"], source["revision"])
        for name, value in record["prompts"].items():
            of = "sha256 of its text" if len(value) == 64 else "hash of an earlier version"
            self._add("prompt", name, None, f"{of}: {value}")
        self._corpus(record["corpus"])
        self._base("retriever", record["retriever"], "retriever" if record["recipe"].get("retriever") else "encoder")
        self._rows(repo_id, commit, record)

    def _provenance(self, kind: Kind, repo_id: str, commit: str) -> dict[str, Any]:
        from huggingface_hub.errors import RemoteEntryNotFoundError

        try:
            return read_provenance(self.api, kind, repo_id, commit)
        except RemoteEntryNotFoundError:
            raise HubError(
                f"{repo_id} has no {PROVENANCE} at {commit[:12]}: it was not pushed by gecko-hf, so there is nothing to "
                "follow."
            ) from None

    def _files(self, kind: Kind, repo_id: str, commit: str, record: Mapping[str, Any]) -> None:
        from huggingface_hub.hf_api import RepoFile

        entries = self.api.list_repo_tree(repo_id, repo_type=kind, revision=commit, recursive=True)
        found = {e.path: e for e in entries if isinstance(e, RepoFile)}
        wrong = []
        for path, expected in record["files"].items():
            entry = found.get(path)
            if entry is None:
                wrong.append(path)
            elif entry.lfs is not None:
                wrong += [path] * (entry.lfs.sha256 != expected)
            else:
                wrong += [path] * (sha256(self._read(repo_id, kind, commit, path)) != expected)
        says = f"differ or are missing: {', '.join(wrong)}" if wrong else "as recorded, by sha256"
        self._add("files", f"{len(record['files'])} of {repo_id}", not wrong, says)

    def _rows(self, repo_id: str, commit: str, record: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
        from huggingface_hub.hf_api import RepoFile

        shards = {c: [p for p in record["files"] if p.startswith(f"{c}/")] for c in ("labels", "corpus")}
        paths = [path for group in shards.values() for path in group]
        entries = self.api.get_paths_info(repo_id, paths, repo_type="dataset", revision=commit)
        size = sum(entry.size for entry in entries if isinstance(entry, RepoFile))
        if self.rows is False or (self.rows is None and size > READ_ROWS):
            self._add("rows", "", None, f"not read ({size / 1e6:,.0f} MB); --rows reads them")
            return
        files = {c: [self._read(repo_id, "dataset", commit, p) for p in group] for c, group in shards.items()}
        ids = {i for f in files["corpus"] for i in pq.read_table(f, columns=["id"])["id"].to_pylist()}
        columns = ["seed_id", "positive_id", "negative_id"]
        tables = [pq.read_table(f, columns=columns) for f in files["labels"]]
        named = {i for t in tables for c in columns for i in t[c].to_pylist() if i is not None}
        missing = sorted(named - ids)
        says = f"not in the corpus: {', '.join(missing[:3])}" if missing else "every one is in the corpus config"
        self._add("passages", f"{len(named):,} named by labels", not missing, says)
        same = source_rows(files["labels"]) == record["llm"]
        self._add(
            "labels", f"{sum(len(t) for t in tables):,} rows", same, _agree(same, "with the language model on record")
        )

    def _corpus(self, corpus: Mapping[str, Any]) -> None:
        """The corpus; its `input` names a repository under `hub`, and files or packages by themselves."""
        what = corpus["path"] or ", ".join(corpus["packages"])
        found = corpus.get("input") or {}
        on_hub = "hub" in found if found else bool(HUB_ID.fullmatch(what))  # a record from before there was one
        revision = (found.get("revision") if on_hub else None) or corpus.get("revision")
        self._resolve("corpus", what, revision, "corpus.revision", on_hub=on_hub)

    def _base(self, name: str, base: Mapping[str, Any], block: str = "encoder") -> None:
        """The encoder that training began with, or that found the candidates; `block` of the recipe names it."""
        on_hub = base.get("hub", bool(HUB_ID.fullmatch(base["id"])))
        self._resolve(name, base["id"], base["version"], f"{block}.revision", on_hub=on_hub)

    def _language_models(self, what: str, revision: str) -> None:
        """The language model, or the two of `WriterAndJudge`, each with its revision."""
        ids, revisions = TWO_MODELS.fullmatch(what), TWO_MODELS.fullmatch(revision)
        if ids and revisions:
            self._language_model("writer", ids[1], revisions[1], "llm.revision")
            self._language_model("judge", ids[2], revisions[2], "judge.revision")
        else:
            self._language_model("language model", what, revision, "llm.revision")

    def _language_model(self, name: str, what: str, revision: str, key: str) -> None:
        """One of them; its revision may be the hash of a folder, unknown, or have the precision behind it."""
        commit = None if revision == "unknown" else revision.partition(" in ")[0]
        on_hub = bool(HUB_ID.fullmatch(what)) and not revision.startswith("sha256:")
        self._resolve(name, what, commit, key, on_hub=on_hub)

    def _resolve(self, name: str, what: str, revision: str | None, key: str, *, on_hub: bool) -> None:
        """A model or data set that is named: looked up where it is on the Hub, else only shown.

        Args:
            name: Of the link.
            what: Its id, path or packages.
            revision: The revision on record.
            key: Of the recipe, which sets it.
            on_hub: Whether it is a repository there, which its form does not tell: a path may have the same.
        """
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        shown = f"{what} @ {revision}" if revision else what
        if not on_hub:
            self._add(name, shown, None, "on record; not a repository" + ("" if revision else ", no revision"))
            return
        look: Callable[..., Any] = self.api.dataset_info if name in DATA else self.api.model_info
        try:
            look(what, revision=revision)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            self._add(name, shown, False, "not on the Hub")
        else:
            says = "found" if revision else f"found, but no revision is on record; set {key} in the recipe"
            self._add(name, shown, bool(revision), says)

    def _read(self, repo_id: str, kind: Kind, commit: str, path: str) -> Path:
        return Path(self.api.hf_hub_download(repo_id, path, repo_type=kind, revision=commit))


def _agree(same: bool, whom: str) -> str:
    return f"{'agrees' if same else 'does not agree'} {whom}"
