"""What a training step costs: our loss against the stock one, and parts of like length against whole columns.

Both pairs take turns on the same batches with the same weights, and medians are compared, so that a busy machine disturbs both
alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from gecko_hf.prompts import SEARCH_RESULT, format_document, format_query
from gecko_hf.training.loss import GeckoLoss

WORDS = "time year people way day man thing woman life child world school state family student group country".split()


@dataclass(frozen=True)
class StepTimes:
    """Median seconds of an optimizer step.

    Attributes:
        stock: sentence-transformers' loss with the same directions, batch padded to its longest text.
        gecko: `GeckoLoss`, padded alike.
        chunked: `GeckoLoss` with `chunk_size`.
        tokens: Tokens of a batch without padding.
    """

    stock: float
    gecko: float
    chunked: float
    tokens: float

    @property
    def loss_ratio(self) -> float:
        """A step with our loss to a step with the stock one."""
        return self.gecko / self.stock

    @property
    def throughput_ratio(self) -> float:
        """Tokens a second in parts of like length to tokens a second of the stock trainer's step."""
        return self.stock / self.chunked


def mixed_rows(count: int, seed: int) -> list[list[str]]:
    """Columns anchor, positive and negative; passages of 20 to 400 words, most of them short, as on the Web."""
    draw = random.Random(seed)  # not security: seeded sampling

    def passage() -> str:
        return " ".join(draw.choices(WORDS, k=min(400, int(20 + draw.expovariate(1 / 80)))))

    queries = [format_query(SEARCH_RESULT, " ".join(draw.choices(WORDS, k=draw.randint(4, 16)))) for _ in range(count)]
    return [
        queries,
        [format_document(passage()) for _ in range(count)],
        [format_document(passage()) for _ in range(count)],
    ]


def time_steps(
    model: SentenceTransformer,
    batch_size: int,
    chunk_size: int,
    steps: int,
    report: Callable[[int, int | None], None] | None = None,
) -> StepTimes:
    """Time optimizer steps of the three in turn, after one round that is not counted.

    Args:
        model: Trained in place.
        batch_size: Rows of a step.
        chunk_size: As in a recipe.
        steps: Steps of each.
        report: Called with (rounds done, rounds).
    """
    losses: dict[str, torch.nn.Module] = {
        "stock": MultipleNegativesRankingLoss(
            model, directions=("query_to_doc", "query_to_query"), partition_mode="joint"
        ),
        "gecko": GeckoLoss(model),
        "chunked": GeckoLoss(model, chunk_size=chunk_size),
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    model.train()
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    tokens = []
    for round_ in range(steps + 1):
        features = [model.preprocess(column) for column in mixed_rows(batch_size, round_)]
        tokens.append(sum(int(f["attention_mask"].sum()) for f in features))
        for name, loss in losses.items():
            seconds[name].append(_step(loss, [dict(f) for f in features], optimizer, model.device))
        if report:
            report(round_ + 1, steps + 1)
    return StepTimes(**{k: statistics.median(v[1:]) for k, v in seconds.items()}, tokens=statistics.mean(tokens[1:]))


def _step(
    loss: torch.nn.Module,
    features: list[dict[str, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> float:
    moved = [{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in f.items()} for f in features]
    start = time.perf_counter()
    optimizer.zero_grad()
    loss(moved, None).backward()
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
