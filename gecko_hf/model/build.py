"""An encoder from a bare checkpoint: bidirectional transformer, mean pooling with the prompt, width, unit length.

Any encoder that reads in both directions will do: the ettin and ModernBERT family, BERT, EuroBERT. A decoder that reads from
left to right is refused, since a mean over its tokens would mostly see a text's beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from gecko_hf.errors import RecipeError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Transformer


def build_encoder(
    base: str,
    dim: int | None = None,
    *,
    max_seq_length: int,
    attention: str | None = None,
    revision: str | None = None,
    block: str = "encoder",
) -> SentenceTransformer:
    """An encoder with float32 weights, whatever dtype the checkpoint has (autocast lowers it while training).

    Args:
        base: Folder or Hub id of a transformers checkpoint without a pooling head.
        dim: Width of the vectors; the checkpoint's own by default.
        max_seq_length: Tokens that are read of a text, prompt included.
        attention: `eager` or `sdpa`; the library's choice by default.
        revision: Commit of a Hub id.
        block: Of the recipe that names it, for messages.

    Raises:
        RecipeError: If the checkpoint reads from left to right, or has fewer dimensions than `dim`.
        OSError: If nothing loads from there.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    shared = {} if revision is None else {"revision": revision}
    options = shared | {"dtype": "float32"} | ({} if attention is None else {"attn_implementation": attention})
    with same_draws():
        transformer = modules.Transformer(
            base,
            model_kwargs=options,
            processor_kwargs=dict(shared),
            config_kwargs=dict(shared),
            max_seq_length=max_seq_length,
        )
    if not reads_both_ways(transformer):
        raise RecipeError(
            f"{block}.base is {base!r}, whose first token does not see the last: it reads from left to right. "
            "Give a bidirectional encoder, for example jhu-clsp/ettin-encoder-150m."
        )
    width = transformer.get_embedding_dimension()
    # Eq. (1) of the paper: the mean is over the tokens of task and text alike.
    parts: list[torch.nn.Module] = [transformer, modules.Pooling(width, pooling_mode="mean", include_prompt=True)]
    if dim is not None and dim != width:
        parts.append(projection(width, dim, base))
    return SentenceTransformer(modules=[*parts, modules.Normalize()])


@contextmanager
def same_draws() -> Iterator[None]:
    """Load a checkpoint twice with the same weights: those that it lacks (a pooler, say) are drawn at random.

    No other draw is changed by it.
    """
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU, before the model is moved
        torch.default_generator.manual_seed(0)
        yield


def projection(width: int, dim: int, base: str) -> Dense:
    """A linear map to `dim` that begins as the first `dim` dimensions: GTR's head has this form (1024 to 768, no bias).

    Raises:
        RecipeError: If `dim` is the larger; a map cannot add what the encoder does not have.
    """
    from sentence_transformers.sentence_transformer import modules

    if dim > width:
        raise RecipeError(
            f"encoder.dim is {dim}, but {base!r} has {width} dimensions. Give at most {width}, or a larger base."
        )
    return modules.Dense(
        width, dim, bias=False, activation_function=torch.nn.Identity(), init_weight=torch.eye(dim, width)
    )


def reads_both_ways(transformer: Transformer) -> bool:
    """Whether the first token's output depends on the last token: seen by changing it, which no configuration can hide."""
    tokenizer = transformer.tokenizer
    if tokenizer is None:
        raise RecipeError("The base has no tokenizer, so it cannot read text. Give a checkpoint with one.")
    ids = [i for i in range(len(tokenizer)) if i not in set(tokenizer.all_special_ids)][:3]
    texts = torch.tensor([[ids[0], ids[1], ids[1]], [ids[0], ids[1], ids[2]]])
    was_training = transformer.model.training
    transformer.model.train(False)
    with torch.no_grad():
        first = transformer.model(input_ids=texts, attention_mask=torch.ones_like(texts)).last_hidden_state[:, 0]
    transformer.model.train(was_training)
    return not torch.equal(first[0], first[1])
