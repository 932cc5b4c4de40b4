"""Scoring during training: nDCG@10 on the yardstick's dev queries, with the prompts that the finished model will have."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from gecko_hf.corpus.passages import Passage, plain_text
from gecko_hf.errors import RecipeError
from gecko_hf.evaluation.yardstick import YardstickQuery
from gecko_hf.prompts import PromptFormat, model_prompts

MOST_QUERIES, DISTRACTORS = 500, 2000  # ours: other processes wait while the first one scores


def dev_evaluator(
    queries: Sequence[YardstickQuery], passages: Sequence[Passage], seed: int, form: PromptFormat = "gecko"
) -> InformationRetrievalEvaluator:
    """An evaluator over dev queries, their relevant passages, and a draw of others.

    Args:
        queries: The yardstick; only its dev split is used.
        passages: The corpus.
        seed: Seeds the draw.
        form: Of the prompts.

    Raises:
        RecipeError: If there is no dev query.
    """
    dev = [q for q in queries if q.split == "dev"][:MOST_QUERIES]
    if not dev:
        raise RecipeError(
            "evaluate_every needs dev queries, and there are none. Raise evaluation.dev_share, or leave it out."
        )
    relevant = {p for q in dev for p in q.relevant}
    drawn = set(random.Random(seed).sample(range(len(passages)), min(DISTRACTORS, len(passages))))  # not security
    prompts = model_prompts(form)
    evaluator = InformationRetrievalEvaluator(
        queries={q.id: q.text for q in dev},
        corpus={p.id: plain_text(p) for row, p in enumerate(passages) if row in drawn or p.id in relevant},
        relevant_docs={q.id: set(q.relevant) for q in dev},
        ndcg_at_k=[10],
        name="dev",
        query_prompt=prompts["query"],
        corpus_prompt=prompts["document"],
        main_score_function="cosine",
        write_csv=False,
    )
    evaluator.primary_metric = "dev_cosine_ndcg@10"
    return evaluator
