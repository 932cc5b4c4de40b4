"""What the report shows of FRet's rows: all of them in its charts, the first of them in its browser."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SHOWN_ROWS = 10_000  # in the browser, which is a part of the page: some 20 MB at 700 characters a passage
SCORES = ("ql_positive", "ql_negative", "rc_positive", "rc_negative")
RANKS = ("positive_rank", "seed_fused_rank")


@dataclass
class RowFacts:
    """The rows of a FRet, of which there may be millions.

    Attributes:
        total: How many there are.
        shown: The first of them.
        scores: Score of positives or hard negatives -> its finite values.
        ranks: Rank of positive or seed -> how many rows have it; None is a seed that the retriever did not find.
    """

    total: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in SCORES})
    ranks: dict[str, Counter[int | None]] = field(default_factory=lambda: {name: Counter() for name in RANKS})


def row_facts(rows: Iterable[dict[str, Any]]) -> RowFacts:
    """Gather rows, each as `browser_row` makes it, in one pass."""
    facts = RowFacts()
    for row in rows:
        facts.total += 1
        if len(facts.shown) < SHOWN_ROWS:
            facts.shown.append(row)
        for name, values in facts.scores.items():
            if row[name] is not None and math.isfinite(row[name]):
                values.append(row[name])
        for name, counts in facts.ranks.items():
            counts[row[name]] += 1
    return facts


def browser_row(label: Mapping[str, Any]) -> dict[str, Any]:
    """What the browser shows of one label."""
    place = {passage: i for i, passage in enumerate(label["candidate_ids"])}
    best = place[label["positive_id"]]
    worst = place[label["negative_id"]] if label["negative_id"] is not None else None
    return {
        "id": label["query_id"],
        "task": label["task"],
        "query": label["query"],
        "seed_id": label["seed_id"],
        "positive_id": label["positive_id"],
        "negative_id": label["negative_id"],
        "relabelled": label["positive_id"] != label["seed_id"],
        "ql_positive": round(label["ql"][best], 3),
        "ql_negative": None if worst is None else round(label["ql"][worst], 3),
        "rc_positive": round(label["rc"][best], 3),
        "rc_negative": None if worst is None else round(label["rc"][worst], 3),
        "positive_rank": label["retrieval_rank"][best],
        "seed_fused_rank": label["fused_rank"][place[label["seed_id"]]],
    }
