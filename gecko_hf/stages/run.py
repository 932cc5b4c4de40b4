"""What the stages of one run share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gecko_hf.corpus.store import StoredPassages, read_corpus
from gecko_hf.llm.base import Annotator
from gecko_hf.progress import View
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, write_json
from gecko_hf.training.processes import processes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from gecko_hf.fret.decontaminate import TestSets
    from gecko_hf.model.precision import Precision
    from gecko_hf.model.vectors import VectorStore

Counts = dict[str, int]


@dataclass
class Run:
    """What the stages of one run share."""

    recipe: Recipe
    paths: Paths
    view: View
    key: str = ""  # of the stage that is running

    @cached_property
    def passages(self) -> StoredPassages:
        """The corpus."""
        return read_corpus(self.paths.corpus)

    @cached_property
    def held_out(self) -> set[str]:
        """Ids of the seeds that no training row may come from."""
        file = self.paths.corpus / "held_out.json"
        return set(json.loads(file.read_text(encoding="utf-8")))

    @cached_property
    def base_commit(self) -> str | None:
        """The commit of a base on the Hub, the same in every stage."""
        from gecko_hf.model.base_commit import base_commit

        return base_commit(self.recipe.encoder, self.paths.logs)

    def base(self) -> SentenceTransformer:
        """The untouched base encoder."""
        from gecko_hf.model.encoder import check_dims, load_encoder

        encoder = self.recipe.encoder
        model = load_encoder(
            encoder.base,
            encoder.max_seq_length,
            dim=encoder.dim,
            attention=encoder.attention,
            revision=self.base_commit,
        )
        check_dims(model, encoder.dims)
        return model

    def retriever(self) -> SentenceTransformer:
        """What fetches FRet's candidates: the model of the `retriever` block, without one the untouched base."""
        from gecko_hf.model.base_commit import base_commit
        from gecko_hf.model.encoder import load_encoder

        own = self.recipe.retriever
        if own is None:
            return self.base()
        commit = base_commit(own, self.paths.logs)
        return load_encoder(own.base, own.max_seq_length, attention=own.attention, revision=commit, block=own.block)

    def bare_retriever(self) -> str | None:
        """The name of what fetches FRet's candidates, if it is a checkpoint that was never trained to embed."""
        from gecko_hf.model.base_commit import base_commit
        from gecko_hf.model.encoder import is_bare

        used = self.recipe.retriever or self.recipe.encoder
        return used.base if is_bare(used.base, base_commit(used, self.paths.logs)) else None

    @cached_property
    def tests(self) -> TestSets | None:
        """Test sets that no query and no positive may overlap: those that the recipe names, and its held-out tasks."""
        from gecko_hf.fret.decontaminate import load_test_sets

        own = [self.paths.tasks / name for name in self.recipe.evaluation.tasks]
        return load_test_sets(self.recipe.fret.quality, own)

    def store(self, model: SentenceTransformer) -> VectorStore:
        """The vectors of a model, in the recipe's precision, kept in the run folder."""
        from gecko_hf.model.vectors import VectorStore

        return VectorStore(model, self.paths.vectors, self.precision)

    @property
    def precision(self) -> Precision:
        """What this run trains and embeds in, on this machine."""
        from gecko_hf.model.precision import precision_of

        return precision_of(self.recipe.precision)

    def tell_computed(self, stage: str, model: SentenceTransformer) -> None:
        """Write down how a stage computed, for cards and report."""
        computed = {"precision": self.precision, "device": model.device.type, "processes": processes()}
        write_json(computed, self.paths.logs / f"{stage}_computed.json")

    def llm(self) -> Annotator:
        """The LLM that the recipe names; what it answers is kept in the run folder."""
        from gecko_hf.llm.open import open_annotator

        return open_annotator(
            self.recipe.llm,
            self.recipe.budget,
            judge=self.recipe.judge,
            seed=self.recipe.seed,
            collection=lambda: ((p.title, p.text) for p in self.passages),
            answers=self.paths.answers,
        )
