"""What the texts of a batch have in common, read once by a model in this process.

FRet's texts begin with the same few-shot examples, and the labels of a pair stand behind the same passage and query. So a batch
goes through the model in up to three parts: what all rows begin with, what some of them go on with alike, and the rest of each
row, which finds keys and values of the parts before it in the cache. Scores are those of whole texts, up to rounding.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

LEAST = 32  # ours: tokens in common from which a pass of their own is worth its start
FEW = 4  # ours: texts that begin alike from which they are read apart from the rest of their batch
# ours: share of the probability that may move at the next token (total variation); a wrong position moves more
CLOSE, CLOSE_IN_HALF = 0.01, 0.1


def can_share(model: PreTrainedModel) -> bool:
    """Whether texts may be read in parts: a model keeps keys and values of all tokens of a text, at positions that are given.

    It does not where a layer sees a window of the last tokens, which would count the padding between two parts, where it keeps a
    recurrent state, or where positions are scaled by the length of the whole text. What no configuration tells (positions that
    begin at another number, for one) three short texts tell, read whole and in parts.
    """
    taken = inspect.signature(model.forward).parameters
    if not {"past_key_values", "position_ids"} <= taken.keys() or getattr(model, "_is_stateful", False):
        return False
    config = model.config.get_text_config(decoder=True)
    ropes = getattr(config, "rope_parameters", None) or {}
    scaled = {rope.get("rope_type") for rope in (ropes, *ropes.values()) if isinstance(rope, dict)}
    # GPT-Neo names its windows so, in layers that otherwise look like any other.
    if scaled & {"longrope", "dynamic"} or hasattr(config, "attention_layers"):
        return False
    try:
        layers = DynamicCache(config=model.config).layers
    except AttributeError:  # a configuration that does not say how many layers there are
        return False
    return all(type(layer) is DynamicLayer for layer in layers) and _agrees(model)


@torch.inference_mode()
def _agrees(model: PreTrainedModel) -> bool:
    """Whether three texts, read in three parts, are continued as when they are read whole."""
    size = model.config.get_text_config(decoder=True).vocab_size
    tokens = [(7 * i + 3) % size for i in range(96)]
    stem = tokens[:64]
    texts = [[*tokens[:40], *tokens[80:86]], [*stem, *tokens[86:88]], [*stem, *tokens[88:92]]]
    past = read_shared(model, texts, [len(text) - 1 for text in texts])
    in_parts = _next_token(model, past, [text[n:] for text, n in zip(texts, past.read, strict=True)])
    whole = _next_token(model, Past.nothing(len(texts), model.device), texts)
    moved = (in_parts - whole).abs().sum(-1).max() / 2
    return bool(moved <= (CLOSE if model.dtype == torch.float32 else CLOSE_IN_HALF))


def _next_token(model: PreTrainedModel, past: Past, pieces: Sequence[Sequence[int]]) -> torch.Tensor:
    logits: torch.Tensor = model(**past.arguments(pieces)).logits
    last = torch.tensor([len(piece) - 1 for piece in pieces], device=logits.device)
    return logits[torch.arange(len(pieces), device=logits.device), last].float().softmax(-1)


class Lent(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a layer for one pass more: they are copied to its rows when the layer is read, and not kept.

    Args:
        layer: The layer as it was read.
        rows: Its row for each row of the pass.
    """

    def __init__(self, layer: Any, rows: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.dtype, self.device = layer.keys, layer.values, layer.dtype, layer.device
        self.is_initialized = True
        self._rows = rows

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a layer looks at: what was read before, and the new tokens."""
        assert self.keys is not None
        assert self.values is not None
        keys, values = self.keys[self._rows], self.values[self._rows]
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


def begin_alike(texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows in parts to be read apart: those of at least `FEW` texts that begin alike, and all others in one."""
    found: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        found[tuple(text[:LEAST])].append(row)
    rest = [row for rows in found.values() if len(rows) < FEW for row in rows]
    return [*(rows for rows in found.values() if len(rows) >= FEW), *([rest] if rest else [])]


@dataclass(frozen=True)
class Past:
    """What a model has read of each row of a batch.

    Attributes:
        cache: Keys and values, (rows, heads, width, size of a head) in each layer; empty before the first token.
        mask: (rows, width), 1 where a token stands and 0 at padding.
        read: Tokens of each row.
    """

    cache: Cache
    mask: torch.Tensor
    read: list[int]

    @classmethod
    def nothing(cls, rows: int, device: torch.device) -> Past:
        """Before the first token."""
        return cls(DynamicCache(), torch.zeros((rows, 0), dtype=torch.long, device=device), [0] * rows)

    def rows(self, chosen: Sequence[int]) -> Past:
        """The past of rows by number, of which each may come several times, to be read on and kept; `self` is used up."""
        at = torch.tensor(chosen, device=self.mask.device)
        self.cache.batch_select_indices(at)
        return Past(self.cache, self.mask[at], [self.read[i] for i in chosen])

    def lent(self, chosen: Sequence[int]) -> Past:
        """The same for the last pass: keys and values are copied a layer at a time, and not kept."""
        at = torch.tensor(chosen, device=self.mask.device)
        layers: list[Any] = [Lent(layer, at) for layer in self.cache.layers]
        return Past(Cache(layers=layers), self.mask[at], [self.read[i] for i in chosen])

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
    """Read what all texts begin with, to be continued.

    Args:
        model: One that `can_share`.
        texts: Token ids of each row.
        until: Tokens of each row that may be read; those behind are left for the caller.

    Returns:
        The past of each row: nothing, if they do not begin alike.
    """
    head = _read_head(model, texts, until)
    return head.rows([0] * len(texts)) if head else Past.nothing(len(texts), model.device)


def read_shared(model: PreTrainedModel, texts: Sequence[Sequence[int]], until: Sequence[int]) -> Past:
    """Read what all texts begin with, and what some of them go on with alike, for one pass more; arguments as for `read_head`."""
    past = _read_head(model, texts, until)
    if past is None:
        return Past.nothing(len(texts), model.device)
    head = past.read[0]
    groups = _groups(texts, until, head)
    if len(groups) == len(texts):
        return past.lent([0] * len(texts))
    past = _read(model, past.rows([0] * len(groups)), [texts[members[0]][head:end] for members, end in groups])
    group_of = {row: group for group, (members, _) in enumerate(groups) for row in members}
    return past.lent([group_of[row] for row in range(len(texts))])


def _read_head(model: PreTrainedModel, texts: Sequence[Sequence[int]], until: Sequence[int]) -> Past | None:
    """One row: what all texts begin with; None if that is not worth a pass."""
    head = min(*(_common(texts[0], text) for text in texts), *until)
    if len(texts) == 1 or head < LEAST:
        return None
    return _read(model, Past.nothing(1, model.device), [texts[0][:head]])


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
