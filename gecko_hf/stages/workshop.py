"""What FRet's steps work with, opened from a run folder: in the process of the run, or in a worker anywhere."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
from rich.console import Console

from gecko_hf.corpus.passages import Passage
from gecko_hf.llm.base import Annotator
from gecko_hf.model.base_commit import RECORDS
from gecko_hf.progress import Report, View
from gecko_hf.prompts import own_prompts
from gecko_hf.recipe import RECIPE_FILE, load_run_recipe
from gecko_hf.run_folder import Paths
from gecko_hf.stages.run import Run

if TYPE_CHECKING:
    from gecko_hf.fret.decontaminate import TestSets
    from gecko_hf.fret.mine import Miner
    from gecko_hf.model.precision import Precision
    from gecko_hf.model.vectors import Vectors, VectorStore

PUBLISHED = "published.json"
COMMITS = tuple(f"logs/{file}" for file in RECORDS.values())
OPTIONAL = (*COMMITS, "tasks")  # of a base and a retriever on the Hub, and of a run with held-out data sets


class RunWorkshop:
    """A run's corpus, LLM and retriever, each opened when a step first needs it.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.recipe = run.recipe.fret
        self.seed = run.recipe.seed

    @property
    def corpus(self) -> Sequence[Passage]:
        """All passages."""
        return self.run.passages

    @cached_property
    def llm(self) -> Annotator:
        """Who writes and judges."""
        return self.run.llm()

    @cached_property
    def _store(self) -> VectorStore:
        return self.run.store(self.run.retriever())

    @cached_property
    def _prompts(self) -> dict[str, str]:
        return own_prompts(self._store.model)

    @cached_property
    def index_file(self) -> Path:
        """Where the index of the passages is kept, of a corpus that is too large for exact search."""
        return self._store.file_of(self.run.passages.texts, self._prompts["document"]).with_suffix(".faiss")

    @property
    def indexed(self) -> bool:
        """Whether an index mines, since the corpus is too large for exact search; `open_miner` decides alike."""
        return len(self.run.passages) > self.recipe.exact_up_to

    def embed_passages(self, report: Report | None = None) -> Vectors:
        """The retriever's vectors of the corpus; computed once in a run folder, then memory-mapped."""
        return self._store.encode(self.run.passages.texts, self._prompts["document"], report)

    @cached_property
    def miner(self) -> Miner:
        """Finds the neighbours of a vector among the passages."""
        from gecko_hf.fret.mine import open_miner

        return open_miner(self.embed_passages(), self.recipe.exact_up_to, self.index_file)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The retriever's vectors of queries."""
        return self._store.encode(texts, self._prompts["query"])

    @property
    def tests(self) -> TestSets | None:
        """Test sets that nothing may overlap."""
        return self.run.tests


def publish(paths: Paths, storage: str) -> None:
    """Copy what a worker needs of a run folder to remote storage, but for files that are there with the same content.

    Storages do not all tell a hash of what they hold, so `published.json` keeps it beside the files. A copy that was
    broken off has another size.
    """
    from gecko_hf.fret.work import WorkFolder

    fs, root = fsspec.url_to_fs(storage)
    there = WorkFolder(storage)
    hashes = json.loads(there.read(PUBLISHED)) if there.exists(PUBLISHED) else {}
    records = (paths.root / name for name in (RECIPE_FILE, *COMMITS))
    for part in (*records, paths.corpus, paths.vectors, paths.tasks):
        for file in [part] if part.is_file() else sorted(f for f in part.rglob("*") if f.is_file()):
            name = file.relative_to(paths.root).as_posix()
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            target = f"{root}/{name}"
            if hashes.get(name) == digest and fs.exists(target) and fs.size(target) == file.stat().st_size:
                continue
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(file), target)
            hashes[name] = digest
            there.write(PUBLISHED, json.dumps(hashes).encode())


@lru_cache(maxsize=1)
def open_workshop(root: str, precision: Precision) -> RunWorkshop:
    """The workshop of a run folder, once a process; what a worker calls. A remote one is copied to this machine first.

    Args:
        root: The run folder, or its copy in remote storage.
        precision: What the run itself embeds in. A worker whose processor `auto` would read otherwise finds its vectors then,
            and does not embed the corpus again.
    """
    folder = Path(root)
    if "://" in root:
        folder = Path(tempfile.mkdtemp(prefix="gecko-run-"))
        fs, path = fsspec.url_to_fs(root)
        (folder / "logs").mkdir()
        for name in (RECIPE_FILE, "corpus", "vectors", *OPTIONAL):
            if name in OPTIONAL and not fs.exists(f"{path}/{name}"):
                continue
            fs.get(f"{path}/{name}", str(folder / name), recursive=fs.isdir(f"{path}/{name}"))
    recipe = replace(load_run_recipe(folder), precision=precision)
    return RunWorkshop(Run(recipe, Paths(folder), View(Console(quiet=True))))
