"""The `llm` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gecko_hf.schema import number


@dataclass(frozen=True)
class LLMRecipe:
    """Who writes the queries and judges the candidates."""

    backend: Literal["unigram"] = "unigram"
    drop_words: float = number(0.33, low=0.0, high=0.8)  # unigram: share of a sentence's words left out of its query
    keep_content: float = number(0.7, low=0.0, high=1.0)  # unigram: share of a sentence's idf that its query keeps
    max_query_words: int = number(16, low=3)  # unigram: longest query
    lead_weight: int = number(3, low=0)  # unigram: how many times more the words of a passage's opening sentence count
