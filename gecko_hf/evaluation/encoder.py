"""The encoder as mteb sees it: mteb's rules choose the prompt, a source gives the vectors, a width is cut from them.

The pipeline's own scores and `gecko-hf evaluate` both go through `ModelEncoder`. They differ in where vectors come from: a run
keeps unit vectors that mining and search use as well (`StoredVectors`); `evaluate` takes what the model itself gives
(`RawVectors`), as mteb's own wrapper does, so that the numbers are mteb's for any model.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType

from gecko_hf.evaluation.prompt_report import known_prompts, literal_prompt
from gecko_hf.model.precision import computing_in
from gecko_hf.model.vectors import CHUNK, Report, Vectors, VectorStore, cut, embed_longest_first
from gecko_hf.run_folder import hash_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.utils.data import DataLoader


class VectorSource(Protocol):
    """Where an encoder's vectors come from."""

    def encode(self, texts: Sequence[str], prefix: str, side: PromptType | None) -> Vectors:
        """Full-width vectors of `prefix + text`, in the order of the texts: shape (n, width)."""

    def cut(self, vectors: Vectors, dim: int) -> Vectors:
        """The first `dim` columns: shape (n, dim)."""


class ModelEncoder(AbsEncoder):
    """One model at one width.

    Args:
        model: Its prompts and its similarity are used.
        vectors: Where its vectors come from.
        dim: Width to cut to.
        meta: Name and revision that mteb files the results under.
    """

    def __init__(self, model: SentenceTransformer, vectors: VectorSource, dim: int, meta: ModelMeta) -> None:
        self.model = model
        self.vectors = vectors
        self.dim = dim
        self.mteb_model_meta = meta
        self._known = known_prompts(model.prompts)

    def encode(
        self,
        inputs: DataLoader[Any],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Vectors:
        """Vectors of mteb's texts, shape (n, dim)."""
        texts = [text for batch in inputs for text in batch["text"]]
        _, prefix = literal_prompt(self.model, self._known, task_metadata, prompt_type)
        return self.vectors.cut(self.vectors.encode(texts, prefix, prompt_type), self.dim)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosine by mteb; any other similarity by the model."""
        if self._cosine:
            return super().similarity(embeddings1, embeddings2)
        return self.model.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosine by mteb; any other similarity by the model."""
        if self._cosine:
            return super().similarity_pairwise(embeddings1, embeddings2)
        return self.model.similarity_pairwise(embeddings1, embeddings2)

    @property
    def _cosine(self) -> bool:
        return self.mteb_model_meta is not None and (self.mteb_model_meta.similarity_fn_name is ScoringFunction.COSINE)


class StoredVectors:
    """Unit vectors from a run's store; a cut is brought to unit length again.

    Args:
        store: The store.
        report: Progress of the embedding.
    """

    def __init__(self, store: VectorStore, report: Report | None = None) -> None:
        self.store = store
        self.report = report

    def encode(self, texts: Sequence[str], prefix: str, side: PromptType | None) -> Vectors:
        """The store's vectors; they do not depend on the side."""
        return self.store.encode(texts, prefix, self.report)

    def cut(self, vectors: Vectors, dim: int) -> Vectors:
        """The first columns, of unit length."""
        return cut(vectors, dim)


class RawVectors:
    """Vectors as the model itself gives them, like mteb's wrapper: `encode_query`, `encode_document` or `encode`.

    Args:
        model: The model at its full width.
        batch_size: Texts a batch.
        folder: Keeps vectors on disk, so that a task that is scored at several widths is embedded once; None keeps nothing.
        devices: More than one: a process each, by sentence-transformers' own pool.
        report: Progress of the embedding.
        precision: `float32` or `bfloat16`, which the model computes in; processes of a pool compute as its weights say.

    Attributes:
        texts: How many texts were embedded.
        seconds: How long that took.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        batch_size: int = 64,
        folder: Path | None = None,
        devices: Sequence[str] = (),
        report: Report | None = None,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self.precision = precision
        self.batch_size = batch_size
        self.folder = folder
        self.report = report
        self.devices = list(devices)
        self.texts = 0
        self.seconds = 0.0
        self._pool: Any = None

    def __enter__(self) -> RawVectors:
        if len(self.devices) > 1:
            self._pool = self.model.start_multi_process_pool(self.devices)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self.model.stop_multi_process_pool(self._pool)

    def encode(self, texts: Sequence[str], prefix: str, side: PromptType | None) -> Vectors:
        """Vectors of the texts, from disk where these were embedded before."""
        if self.folder is None:
            return self._compute(texts, prefix, side)
        digest = hashlib.sha256(f"{side}\0{prefix}".encode())
        for text in texts:
            digest.update(b"\0" + text.encode())
        file = self.folder / f"{digest.hexdigest()[:32]}.npy"
        if not file.exists():
            np.save(file, self._compute(texts, prefix, side))
        return np.asarray(np.load(file), dtype=np.float32)

    def cut(self, vectors: Vectors, dim: int) -> Vectors:
        """The first columns as they are, as `SentenceTransformer(..., truncate_dim=dim)` gives them."""
        return vectors[:, :dim]

    def _compute(self, texts: Sequence[str], prefix: str, side: PromptType | None) -> Vectors:
        by_side: dict[PromptType | None, Any] = {
            PromptType.query: self.model.encode_query,
            PromptType.document: self.model.encode_document,
            None: self.model.encode,
        }
        encode = by_side[side]

        def embed(part: list[str]) -> Vectors:
            with computing_in(self.precision, self.model.device):
                made = encode(
                    part,
                    prompt=prefix,
                    batch_size=self.batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                    pool=self._pool,
                )
            return np.asarray(made, dtype=np.float32)

        start = time.monotonic()
        width = self.model.get_embedding_dimension() or 0
        # A pool splits what it is handed, so it is handed more at once.
        vectors = embed_longest_first(texts, width, embed, self.report, CHUNK * (32 if self._pool else 1))
        self.texts += len(texts)
        self.seconds += time.monotonic() - start
        return vectors


def stored_encoder(store: VectorStore, dim: int, name: str, report: Report | None = None) -> ModelEncoder:
    """A run's model at one width, with the vectors of the run's store.

    Args:
        store: Where the vectors come from; its model's prompts are used.
        dim: Width to cut to.
        name: `organisation/model`, as it stands in the result files.
        report: Progress of the embedding.
    """
    meta = ModelMeta.create_empty(
        {
            "name": name,
            # Results are kept under it, and other prompts give other scores of the same weights.
            "revision": hash_of([store.revision, store.model.prompts])[:12],
            "embed_dim": dim,
            "similarity_fn_name": ScoringFunction.COSINE,
            "modalities": ["text"],
        }
    )
    return ModelEncoder(store.model, StoredVectors(store, report), dim, meta)
