"""What smaller vectors cost: passages kept as int8 or as single bits, searched with float queries, on the run's own yardstick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from mteb.types import PromptType

from gecko_hf.evaluation.encoder import StoredVectors, stored_encoder
from gecko_hf.evaluation.score import retrieval_task, score
from gecko_hf.evaluation.yardstick import read_queries
from gecko_hf.hub.facts import QUANTIZED
from gecko_hf.hub.summary import MAIN_METRIC
from gecko_hf.model.encoder import load_encoder
from gecko_hf.model.precision import precision_of
from gecko_hf.model.vectors import Report, Vectors, VectorStore
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, read_record, write_json

LEVELS = 255  # steps between the least and the largest int8 value
PERCENTILES = (0.1, 99.9)  # ours: of the calibration passages; what lies outside is clipped
CALIBRATION = 2000  # ours: passages that the ranges are taken from


@dataclass(frozen=True)
class Quantized:
    """The score of one precision at the widest dimension, on the test queries."""

    precision: str
    bytes: int
    score: float
    lost: float  # points of the main metric, 0 to 100, against float32


def int8(vectors: Vectors, calibration: Vectors) -> Vectors:
    """Vectors as they come back from int8: each dimension cut into 255 steps between two percentiles of a calibration set.

    Args:
        vectors: Shape (n, width).
        calibration: Vectors that the ranges are taken from, shape (m, width).
    """
    low, high = np.percentile(calibration, PERCENTILES, axis=0)
    step = np.maximum(high - low, 1e-12) / LEVELS
    codes = np.clip(np.round((vectors - low) / step), 0, LEVELS)
    return np.asarray(low + codes * step, dtype=np.float32)


def binary(vectors: Vectors, calibration: Vectors) -> Vectors:
    """Vectors as they come back from one bit a dimension: -1 or 1. The calibration set is not read: the threshold is 0."""
    return np.where(vectors > 0, 1.0, -1.0).astype(np.float32)


PRECISIONS: dict[str, tuple[float, Callable[[Vectors, Vectors], Vectors]]] = {  # name -> bytes a dimension, how
    "float32": (4, lambda vectors, _: vectors),
    "int8": (1, int8),
    "binary": (1 / 8, binary),
}


class QuantizedVectors(StoredVectors):
    """Stored vectors of which passages have lost bits; queries keep all of theirs.

    Args:
        store: The store.
        precision: A key of `PRECISIONS`.
        report: Progress of the embedding.
    """

    def __init__(self, store: VectorStore, precision: str, report: Report | None = None) -> None:
        super().__init__(store, report)
        self.precision = precision

    def encode(self, texts: Sequence[str], prefix: str, side: PromptType | None) -> Vectors:
        """Vectors of `prefix + text`, shape (n, width); those of documents as they come back from the precision."""
        vectors = super().encode(texts, prefix, side)
        if side is not PromptType.document:
            return vectors
        # Every so manieth passage, since those of one source stand together.
        calibration = vectors[:: max(1, len(vectors) // CALIBRATION)]
        return PRECISIONS[self.precision][1](vectors, calibration)


def measure_quantized(
    recipe: Recipe, paths: Paths, yardstick: tuple[str, str], report: Report | None
) -> list[Quantized]:
    """Score every precision on the yardstick's test queries and keep the result in `logs/` for the model card.

    Args:
        recipe: The run's.
        paths: The run's; its stored vectors are used.
        yardstick: Its name and description.
        report: Progress of the embedding, where vectors are missing.
    """
    from gecko_hf.corpus.store import read_corpus

    model = load_encoder(str(paths.model), recipe.encoder.max_seq_length)
    store = VectorStore(model, paths.vectors, precision_of(recipe.precision))
    queries = [q for q in read_queries(paths.yardstick) if q.split == "test"]
    task = retrieval_task(*yardstick, read_corpus(paths.corpus), queries)
    dim = max(recipe.encoder.dims)
    found: list[Quantized] = []
    for precision, (size, _) in PRECISIONS.items():
        encoder = stored_encoder(store, dim, f"{recipe.name}/gecko-{dim}-{precision}", report)
        encoder.vectors = QuantizedVectors(store, precision, report)
        value = score(encoder, task, paths.results, label="Gecko", role="gecko", dim=dim)[0].metrics[MAIN_METRIC]
        whole = found[0].score if found else value
        found.append(Quantized(precision, int(dim * size), value, 100 * (whole - value)))
    trained = read_record(paths, "finetune") or {}
    write_json({"model": trained.get("key"), "rows": [asdict(q) for q in found]}, paths.logs / QUANTIZED)
    return found
