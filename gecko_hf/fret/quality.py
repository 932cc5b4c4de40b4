"""Quality gates: what a written query must pass before candidates are judged for it. What fails is set aside with the reason.

Gates look at one query and its seed (`check`), or at all queries in their order (`duplicates`). The order of seeds
decides which of two duplicates stays, so the same queries pass however the work was split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import SequenceMatcher

from gecko_hf.corpus.near import near_identical, words_and_pairs
from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.generate import GeneratedQuery, Rejected
from gecko_hf.fret.recipe import QualityRecipe
from gecko_hf.text import STOP_WORDS, word_count, words

COPIED_WORDS = 6  # ours: a shorter query, such as a name, may stand in its passage word for word


def check(query: GeneratedQuery, seed: Passage, recipe: QualityRecipe, tests: TestSets | None) -> Rejected | None:
    """Why a query fails, or None if it passes.

    Args:
        query: A written query.
        seed: The passage that it was written for.
        recipe: Which gates are on.
        tests: Test sets that it must not overlap.
    """
    said = words(query.query)
    if word_count(said) < recipe.min_words:
        return Rejected(query.seed_id, f"short: it has fewer than {recipe.min_words} words", query.query)
    if word_count([w for w in said if w not in STOP_WORDS]) < recipe.min_content_words:
        return Rejected(query.seed_id, f"empty: fewer than {recipe.min_content_words} words have content", query.query)
    if recipe.max_copied is not None and len(said) >= COPIED_WORDS:
        share = longest_run(said, words(seed.text)) / len(said)
        if share > recipe.max_copied:
            reason = f"copied: {share:.0%} of it stands in its passage in one piece"
            return Rejected(query.seed_id, reason, query.query)
    if tests is not None and (match := tests.match(query.query)):
        return Rejected(query.seed_id, f"test query: {match}", query.query)
    return None


def duplicates(read: Callable[[], Iterable[GeneratedQuery]], threshold: float) -> list[Rejected]:
    """Of queries that are (nearly) the same, all but the first.

    Args:
        read: Opens the queries, in the same order each time.
        threshold: Least Jaccard similarity of their words and pairs of words; 1 compares the words alone, in order.
    """
    twins = near_identical(lambda: (q.query for q in read()), threshold, words_and_pairs)
    stays = set(twins.values())
    seeds = {row: q.seed_id for row, q in enumerate(read()) if row in stays} if twins else {}
    return [
        Rejected(query.seed_id, f"duplicate: of the query for {seeds[twins[row]]}", query.query)
        for row, query in enumerate(read() if twins else ())
        if row in twins
    ]


def longest_run(query: list[str], passage: list[str]) -> int:
    """How many words of the query stand in the passage one after the other, at most."""
    return SequenceMatcher(None, passage, query, autojunk=False).find_longest_match().size
