"""Training without dropout: on a CPU drawing the random numbers takes a good part of a step.

Dropout also makes two embeddings of one text differ. SimCSE (Gao et al. 2021, arXiv 2104.08821) is built on that; a contrastive
loss over real pairs is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@contextmanager
def without_dropout(model: SentenceTransformer) -> Iterator[None]:
    """Set every dropout of the encoder to 0 for as long as the context lasts, also what attention does inside its kernel.

    That of adapters stays: it is a choice of the recipe (`encoder.lora.dropout`).
    """
    with ExitStack() as undo:
        for path, module in model.named_modules():
            if "lora_dropout" in path:
                continue
            # BERT's attention takes its rate from a Dropout module; ModernBERT's, EuroBERT's and T5's from a number, of which
            # T5's is called `dropout`.
            names = ("p",) if isinstance(module, nn.Dropout) else ("attention_dropout", "dropout")
            for name in names:
                rate = getattr(module, name, None)
                if isinstance(rate, float):
                    undo.callback(setattr, module, name, rate)
                    setattr(module, name, 0.0)
        yield
