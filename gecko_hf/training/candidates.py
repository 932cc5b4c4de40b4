"""What a query is compared with, in blocks, and which entries of a block do not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

QUERIES, POSITIVES = 0, 1  # columns; hard negatives follow


@dataclass(frozen=True)
class Batch:
    """The embedded columns of a batch.

    Attributes:
        columns: This device's queries, positives and negatives; each (batch, width).
        everywhere: The same of all devices, as far as rows are compared with each other; each (world, width).
        ids: One number for each text of a column, equal for equal texts; each (batch,).
        all_ids: The same of all devices.
        offset: Where this device's rows begin among all devices' rows.
    """

    columns: list[Tensor]
    everywhere: list[Tensor]
    ids: list[Tensor] | None
    all_ids: list[Tensor] | None
    offset: int


class Block(NamedTuple):
    """Scores of some rows against the texts of one column.

    Attributes:
        column: 0 the queries, 1 the positives, 2 and more the hard negatives.
        scores: (rows, texts); (rows, 1) where a row is compared with its own text alone.
        own: Each row's own text among them; None where there is no other.
    """

    column: int
    scores: Tensor
    own: Tensor | None

    def is_own(self) -> Tensor:
        """Which entries are a row's own text, (rows, texts)."""
        if self.own is None:
            return torch.ones_like(self.scores, dtype=torch.bool)
        return torch.arange(self.scores.shape[1], device=self.own.device) == self.own[:, None]

    def without(self, entries: Tensor) -> Block:
        """The block with some entries out of the softmax."""
        return self._replace(scores=self.scores.masked_fill(entries, -torch.inf))

    def hardness(self, strength: float) -> Tensor:
        """What the weight exp(strength * s) adds to the logits of own hard negatives; no gradient flows through it."""
        if self.column <= POSITIVES:
            return torch.zeros_like(self.scores)
        added = strength * self.scores.detach()
        return torch.where(self.is_own(), added, torch.zeros_like(added))


def mask_false_negatives(blocks: list[Block], margin: float) -> list[Block]:
    """Leave out other rows' texts that score more than `margin` above the row's positive."""
    positives = blocks[0].scores.gather(1, _own(blocks[0])).detach()
    return [b.without((b.scores.detach() > positives + margin) & ~b.is_own()) for b in blocks]


def mask_duplicates(blocks: list[Block], batch: Batch, begin: int, end: int) -> list[Block]:
    """Leave out rows that share the query or the positive, and hard negatives that are the positive."""
    if batch.ids is None or batch.all_ids is None:
        raise ValueError("duplicate_mask compares texts: call the loss with token ids, not with embeddings.")
    query, positive = (batch.ids[c][begin:end, None] for c in (QUERIES, POSITIVES))
    masked = []
    for b in blocks:
        if b.column > POSITIVES:
            texts = batch.ids[b.column][begin:end, None] if b.own is None else batch.all_ids[b.column][None]
            masked.append(b.without(texts == positive))
        elif b.own is None:
            masked.append(b)
        else:
            same = (batch.all_ids[QUERIES][None] == query) | (batch.all_ids[POSITIVES][None] == positive)
            masked.append(b.without(same & ~b.is_own()))
    return masked


def text_ids(features: dict[str, Any]) -> Tensor:
    """One 64-bit number for each tokenized text, whatever its padding: (batch,)."""
    ids, mask = features["input_ids"], features["attention_mask"]
    place = (mask.cumsum(dim=1) - 1).clamp(min=0)
    generator = torch.Generator().manual_seed(0)
    # Odd multipliers, summed in wrapping 64-bit arithmetic: two different texts agree with probability 2^-63.
    factors = torch.randint(-(2**62), 2**62, (ids.shape[1],), generator=generator).to(ids.device) * 2 + 1
    numbers: Tensor = ((ids.long() + 1) * factors[place] * mask).sum(dim=1)
    return numbers


def _own(block: Block) -> Tensor:
    rows = len(block.scores)
    return (
        torch.zeros(rows, 1, dtype=torch.long, device=block.scores.device) if block.own is None else block.own[:, None]
    )
