"""What the texts of a batch have in common, read once by a model in this process.

FRet's texts begin with the same few-shot examples, and the labels of a pair stand behind the same passage and query. So a batch
goes through the model in up to three parts: what all rows begin with, what some of them go on with alike, and the rest of each
row, which finds keys and values of the parts before it in the cache. Scores are those of whole texts, up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

LEAST = 32  # ours: tokens in common from which a pass of their own is worth its start


def can_share(model: PreTrainedModel) -> bool:
    """Whether a model's state behind a text is keys and values of all its tokens, each at a position that can be given.

    It is not where a layer sees a window of the last tokens, which would count the padding between two parts, or keeps a
    recurrent state.
    """
    taken = inspect.signature(model.forward).parameters
    if not {"past_key_values", "position_ids"} <= taken.keys() or getattr(model, "_is_stateful", False):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


@dataclass(frozen=True)
class Past:
    """What a model has read of each row of a batch.

    Attributes:
        cache: Keys and values, (rows, heads, width, size of a head) in each layer; empty before the first token.
        mask: (rows, width), 1 where a token stands and 0 at padding.
        read: Tokens of each row.
    """

    cache: DynamicCache
    mask: torch.Tensor
    read: list[int]

    @classmethod
    def nothing(cls, rows: int, device: torch.device) -> Past:
        """Before the first token."""
        return cls(DynamicCache(), torch.zeros((rows, 0), dtype=torch.long, device=device), [0] * rows)

    def rows(self, chosen: Sequence[int]) -> Past:
        """The past of rows by number, of which each may come several times; `self` is used up."""
        at = torch.tensor(chosen, device=self.mask.device)
        self.cache.batch_select_indices(at)
        return Past(self.cache, self.mask[at], [self.read[i] for i in chosen])

    def arguments(self, pieces: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What `forward` takes to read a piece more of each row, padded on the right, where nothing looks."""
        width, device = max(map(len, pieces)), self.mask.device
        ids = [[*piece, *[0] * (width - len(piece))] for piece in pieces]
        mask = [[1] * len(piece) + [0] * (width - len(piece)) for piece in pieces]
        arguments = {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.cat([self.mask, torch.tensor(mask, device=device)], dim=1),
        }
        if not self.mask.numel():  # a model counts by itself
            return {**arguments, "use_cache": False}
        # A learned table of positions ends somewhere, so padding stays at its row's last one.
        at = [[n + min(i, len(piece) - 1) for i in range(width)] for n, piece in zip(self.read, pieces, strict=True)]
        return {
            **arguments,
            "position_ids": torch.tensor(at, device=device),
            "past_key_values": self.cache,
            "use_cache": True,
        }


def read_head(model: PreTrainedModel, texts: Sequence[Sequence[int]], until: Sequence[int]) -> Past:
    """Read what all texts begin with.

    Args:
        model: One that `can_share`.
        texts: Token ids of each row.
        until: Tokens of each row that may be read; those behind are left for the caller.

    Returns:
        The past of each row: nothing, if they do not begin alike.
    """
    head = min(*(_common(texts[0], text) for text in texts), *until)
    if len(texts) == 1 or head < LEAST:
        return Past.nothing(len(texts), model.device)
    return _read(model, Past.nothing(1, model.device), [texts[0][:head]]).rows([0] * len(texts))


def read_shared(model: PreTrainedModel, texts: Sequence[Sequence[int]], until: Sequence[int]) -> Past:
    """Read what all texts begin with, and what some of them go on with alike; arguments as those of `read_head`."""
    past = read_head(model, texts, until)
    head = past.read[0]
    groups = _groups(texts, until, head) if head else []
    if not head or len(groups) == len(texts):
        return past
    past = past.rows([members[0] for members, _ in groups])
    past = _read(model, past, [texts[members[0]][head:end] for members, end in groups])
    group_of = {row: group for group, (members, _) in enumerate(groups) for row in members}
    return past.rows([group_of[row] for row in range(len(texts))])


def _read(model: PreTrainedModel, past: Past, pieces: Sequence[Sequence[int]]) -> Past:
    arguments = past.arguments(pieces)
    # The base model: nobody asks here for what comes next.
    model.base_model(**{**arguments, "past_key_values": past.cache, "use_cache": True})
    return Past(
        past.cache, arguments["attention_mask"], [n + len(piece) for n, piece in zip(past.read, pieces, strict=True)]
    )


def _groups(texts: Sequence[Sequence[int]], until: Sequence[int], head: int) -> list[tuple[list[int], int]]:
    """Rows that go on alike behind the head, and up to which token; no row joins where it would leave more than it shares."""
    groups: list[tuple[list[int], int]] = []
    for row in sorted(range(len(texts)), key=lambda row: tuple(texts[row])):
        if groups:
            members, end = groups[-1]
            end = min(end, until[row], _common(texts[members[-1]], texts[row]))
            longest = max(len(texts[i]) for i in (*members, row))
            if longest - end < end - head:
                groups[-1] = ([*members, row], end)
                continue
        groups.append(([row], until[row]))
    return groups


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
