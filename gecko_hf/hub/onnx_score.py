"""What a run's ONNX files score on the run's own yardstick, kept in `logs/` for the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gecko_hf.evaluation.encoder import stored_encoder
from gecko_hf.evaluation.score import retrieval_task, score
from gecko_hf.evaluation.yardstick import read_queries
from gecko_hf.hub.facts import ONNX
from gecko_hf.hub.onnx_check import OnnxFile
from gecko_hf.hub.onnx_encoder import OnnxEncoder
from gecko_hf.hub.publish import sha256
from gecko_hf.hub.summary import MAIN_METRIC
from gecko_hf.model.encoder import load_encoder
from gecko_hf.model.vectors import Report, Vectors, VectorStore, cut, embed_longest_first
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, hash_of, read_record, write_json


@dataclass(frozen=True)
class OnnxScore:
    """The score of one file at the widest dimension, on the test queries; queries and passages both go through it."""

    file: str
    score: float
    lost: float  # points of the main metric, 0 to 100, against the same model in torch


class OnnxStore(VectorStore):
    """A run's vectors, computed by ONNX Runtime.

    Args:
        torch: The same model in torch, or vectors of it; its prompts are used.
        encoder: What computes.
    """

    def __init__(self, torch: VectorStore, encoder: OnnxEncoder) -> None:
        self.model, self.folder = torch.model, torch.folder
        self.encoder = encoder
        self._made_by = hash_of([torch.revision, sha256(encoder.file)])

    def compute(
        self, texts: Sequence[str], prompt: str = "", report: Report | None = None, out: Vectors | None = None
    ) -> Vectors:
        """Unit-length vectors of `prompt + text`, shape (n, width)."""
        width = self.model.get_embedding_dimension() or 0

        def embed(part: list[str]) -> Vectors:
            return cut(self.encoder.encode(part, prompt), width)

        return embed_longest_first(texts, width, embed, report, out=out)


def score_onnx(
    recipe: Recipe, paths: Paths, yardstick: tuple[str, str], files: Sequence[OnnxFile], report: Report | None
) -> list[OnnxScore]:
    """Score the files of a run's model on the yardstick's test queries, and keep what is known of them for the card.

    Args:
        recipe: The run's.
        paths: The run's.
        yardstick: Its name and description.
        files: What the export said of them.
        report: Progress of the embedding.
    """
    from gecko_hf.corpus.store import read_corpus

    torch = VectorStore(load_encoder(str(paths.model), recipe.encoder.max_seq_length), paths.vectors)
    queries = [q for q in read_queries(paths.yardstick) if q.split == "test"]
    task = retrieval_task(*yardstick, read_corpus(paths.corpus), queries)
    dim = max(recipe.encoder.dims)

    def measure(store: VectorStore, name: str) -> float:
        encoder = stored_encoder(store, dim, f"{recipe.name}/gecko-{dim}-{name}", report)
        return score(encoder, task, paths.results, label="Gecko", role="gecko", dim=dim)[0].metrics[MAIN_METRIC]

    whole = measure(torch, "float32")
    found = []
    for entry in files:
        file = paths.model / entry.file
        value = measure(OnnxStore(torch, OnnxEncoder(paths.model, file)), f"onnx-{file.stem}")
        found.append(OnnxScore(entry.file, value, 100 * (whole - value)))
    rows = [asdict(entry) | asdict(scored) for entry, scored in zip(files, found, strict=True)]
    model = read_record(paths, "finetune") or {}
    write_json({"model": model.get("key"), "rows": rows}, paths.logs / ONNX)
    return found
