"""`unigram`: the embedded stand-in for an LLM. No download, deterministic, made of classic retrieval models.

- P_QG: an extractive query. The opening sentence of the passage, or another that speaks of the same, with a share of its
  words left out, as in the inverse cloze task (Lee et al. 2019, 1906.00300) with word deletion (EDA; Wei & Zou 2019,
  1901.11196). The words that are left keep most of the sentence's inverse document frequency (Sparck Jones 1972):
  without its rare words a query asks for nothing.
- QL: the query likelihood of a unigram language model of the passage, smoothed with the collection by a Dirichlet prior
  (Zhai & Lafferty 2001, "A study of smoothing methods for language models applied to ad hoc information retrieval").
- RC: BM25 (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework") as a share of the most that the query
  could score, read as a relevance grade through a cumulative logit (McCullagh 1980).
- Both count the words of a passage's opening sentence more than once (fields as in BM25F; Robertson, Zaragoza & Taylor
  2004): what a text opens with is what it is about.

It knows words, not meaning: it can reward only what a passage says literally. Cards say so of what it labelled.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import Stemmer

from gecko_hf.errors import LLMError
from gecko_hf.llm.bags import Bag, Bags
from gecko_hf.llm.base import Capability, Judgement, PassagePrompt, Told
from gecko_hf.prompts import SEARCH_RESULT
from gecko_hf.text import STOP_WORDS, is_prose, lead, sentences, words

MIN_QUERY_WORDS = 3
DRAWS = 20  # ours: choices of words that are tried for one that keeps enough; the best of them is taken
SENTENCES, MAX_SOURCE_WORDS, SHARED_TERMS = 12, 25, 2  # ours: which other sentences are about what the opening is about
BM25_K1, BM25_B = 1.2, 0.75  # the values that Robertson & Zaragoza recommend
TOLD_EVERY = 512  # prompts between two words on how far it is
RECENT = 512  # queries whose terms are kept: more than a chunk has, which asks about each with every candidate
GRADE_CUTS, GRADE_SLOPE = (0.25, 0.5), 12.0  # ours: ranks do not depend on them, since the top label is monotone


class UnigramAnnotator:
    """Unigram query likelihood and BM25 relevance over the statistics of one collection.

    Args:
        collection: (title, text) of every passage; their counts are the collection model.
        drop_words: Share of a source sentence's words that its query leaves out.
        keep_content: Share of the sentence's summed inverse document frequency that its query should keep.
        other_sentences: Share of passages that are asked by another sentence than their opening one, where one of their
            first dozen shares words with it.
        max_query_words: Longest query; longer sentences lose more of their words.
        lead_weight: How many times more than other words the opening sentence counts.
        seed: Seeds the choice of words, together with the passage's key.
    """

    id = "unigram"
    revision = "2"
    capabilities = frozenset(Capability)

    def __init__(
        self,
        collection: Iterable[tuple[str, str]],
        *,
        drop_words: float = 0.33,
        keep_content: float = 0.7,
        other_sentences: float = 0.0,
        max_query_words: int = 16,
        lead_weight: int = 3,
        seed: int = 0,
    ) -> None:
        self.drop_words = drop_words
        self.keep_content = keep_content
        self.other_sentences = other_sentences
        self.max_query_words = max_query_words
        self.lead_weight = lead_weight
        self.seed = seed
        self._stem = Stemmer.Stemmer("english").stemWords
        self._bag = lru_cache(maxsize=1)(self._found)  # pairs come passage by passage
        self._query_terms = lru_cache(maxsize=RECENT)(self._terms)
        self._frequency: Counter[str] = Counter()
        self._documents: Counter[str] = Counter()
        self._size = 0
        self._bags = Bags(self._gathered(collection))
        self._total = self._frequency.total()
        self._mean_length = self._total / max(1, self._size)

    @property
    def settings(self) -> dict[str, Any]:
        """What the scores and queries depend on."""
        return {
            "drop_words": self.drop_words,
            "keep_content": self.keep_content,
            "other_sentences": self.other_sentences,
            "max_query_words": self.max_query_words,
            "lead_weight": self.lead_weight,
            "seed": self.seed,
            "dirichlet_mu": round(self._mean_length, 1),
            "bm25": {"k1": BM25_K1, "b": BM25_B},
        }

    def generate(self, prompts: Sequence[PassagePrompt], *, told: Told | None = None) -> list[str]:
        """An extractive (task, query) for each passage; a passage without prose gives an empty query."""
        return [f"Task: {p.task or SEARCH_RESULT}\nQuery: {self._query(p)}" for p in _telling(prompts, told)]

    def judge(
        self,
        prompts: Sequence[PassagePrompt],
        labels: Sequence[str],
        *,
        one_pass: bool = False,
        told: Told | None = None,
    ) -> list[Judgement]:
        """Query likelihood and graded relevance of each (query, passage).

        QL is the mean log p(w | passage) over the query's words, Dirichlet-smoothed with mu = mean length; the grades are
        log-probabilities of the labels from BM25's share of its upper bound.

        Raises:
            LLMError: If `one_pass` is asked for: there are no prompts.
            ValueError: If there are not three labels, or a prompt has no query.
        """
        if one_pass:
            raise LLMError(f"{self.id} has no prompt that QL and RC could share; leave fret.one_pass out.")
        if len(labels) != len(GRADE_CUTS) + 1:
            raise ValueError(f"Got {len(labels)} labels; this backend grades on {len(GRADE_CUTS) + 1}, worst first.")
        return [self._judged(p) for p in _telling(prompts, told)]

    def _query(self, prompt: PassagePrompt) -> str:
        digest = hashlib.sha256(f"{self.seed}:{prompt.key}".encode()).digest()
        rng = random.Random(int.from_bytes(digest[:8]))  # not security: seeded sampling
        tokens = self._source(prompt, rng).split()
        if not tokens:
            return ""
        content = [sum(map(self._idf, self._stem([w for w in words(t) if w not in STOP_WORDS]))) for t in tokens]
        drop = max(self.drop_words, 1 - self.max_query_words / len(tokens))
        kept = list(range(len(tokens)))[: self.max_query_words]
        share = -1.0
        for _ in range(DRAWS):
            if share >= self.keep_content:
                break
            draw = [i for i in range(len(tokens)) if rng.random() >= drop]
            drawn = sum(content[i] for i in draw) / (sum(content) or 1)
            if MIN_QUERY_WORDS <= len(draw) <= self.max_query_words and drawn > share:
                kept, share = draw, drawn
        return " ".join(tokens[i] for i in kept)

    def _source(self, prompt: PassagePrompt, rng: random.Random) -> str:
        """The sentence that a query is made of; empty where the passage has no prose."""
        opening = lead(prompt.text)
        if not opening or rng.random() >= self.other_sentences:
            return opening
        topic = set(self._terms(f"{prompt.title} {opening}"))
        others = [
            s
            for s in sentences(prompt.text)[:SENTENCES]
            if s != opening and is_prose(s) and len(s.split()) <= MAX_SOURCE_WORDS
            if len(topic & {t for t in self._terms(s) if t not in STOP_WORDS}) >= SHARED_TERMS
        ]
        return rng.choice(others) if others else opening

    def _idf(self, term: str) -> float:
        df = self._documents[term]
        return math.log(1 + (self._size - df + 0.5) / (df + 0.5))

    def _terms(self, text: str) -> list[str]:
        return list(self._stem([w for w in words(text) if w not in STOP_WORDS] or words(text)))

    def _gathered(self, collection: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, Bag]]:
        """The passages' bags, counted into the collection model as they pass."""
        for title, text in collection:
            bag = self._count(title, text)
            self._frequency.update(bag)
            self._documents.update(bag.keys())
            self._size += 1
            yield title, text, bag

    def _found(self, title: str, text: str) -> tuple[Bag, int]:
        """A passage's bag and its length."""
        bag = self._bags.find(title, text) or self._count(title, text)
        return bag, sum(bag.values())

    def _count(self, title: str, text: str) -> Counter[str]:
        bag = Counter(self._terms(f"{title} {text}"))
        for term in self._terms(lead(text)):
            bag[term] += self.lead_weight
        return bag

    def _judged(self, prompt: PassagePrompt) -> Judgement:
        if prompt.query is None:
            raise ValueError(f"The prompt for {prompt.key!r} has no query; relevance is of a query to a passage.")
        terms = self._query_terms(prompt.query)
        return Judgement(self._likelihood(prompt, terms), self._grades(self._relevance(prompt, terms)))

    def _likelihood(self, prompt: PassagePrompt, terms: Sequence[str]) -> float:
        if not terms:
            return -math.inf
        bag, length = self._bag(prompt.title, prompt.text)
        mu = self._mean_length
        total = 0.0
        for term in terms:
            # A word that the collection lacks counts as seen half a time, so that no likelihood is zero.
            background = max(self._frequency[term], 0.5) / self._total
            total += math.log((bag.get(term, 0) + mu * background) / (length + mu))
        return total / len(terms)

    def _relevance(self, prompt: PassagePrompt, terms: Sequence[str]) -> float:
        """BM25 divided by what the query would score with every term at saturation: 0 to 1."""
        bag, length = self._bag(prompt.title, prompt.text)
        norm = BM25_K1 * (1 - BM25_B + BM25_B * length / self._mean_length)
        score = bound = 0.0
        for term in terms:
            idf = self._idf(term)
            score += idf * (count := bag.get(term, 0)) * (BM25_K1 + 1) / (count + norm)
            bound += idf * (BM25_K1 + 1)
        return score / bound if bound else 0.0

    @staticmethod
    def _grades(share: float) -> tuple[float, ...]:
        above = [1 / (1 + math.exp(-GRADE_SLOPE * (share - cut))) for cut in GRADE_CUTS]
        return math.log(1 - above[0]), math.log(above[0] - above[1]), math.log(above[1])


def _telling(prompts: Sequence[PassagePrompt], told: Told | None) -> Iterator[PassagePrompt]:
    """The prompts, of which `told` hears how many are done."""
    for done, prompt in enumerate(prompts):
        if told and done and done % TOLD_EVERY == 0:
            told(done)
        yield prompt
    if told:
        told(len(prompts))
