"""`unigram` against the formulas that it cites, computed by hand."""

import math
from collections import Counter

import pytest

from gecko_hf.llm import unigram
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt
from gecko_hf.llm.unigram import BM25_B, BM25_K1, UnigramAnnotator

TEXTS = [("", "green apples grow slowly"), ("", "red apples taste sweet"), ("", "boats sail north quickly today")]


@pytest.fixture
def llm() -> UnigramAnnotator:
    return UnigramAnnotator(TEXTS, lead_weight=0, seed=1)


def prompt(i: int, query: str | None = None) -> PassagePrompt:
    return PassagePrompt(str(i), *TEXTS[i], query=query)


def likelihoods(llm: UnigramAnnotator, *prompts: PassagePrompt) -> list[float]:
    return [judged.ql for judged in llm.judge(prompts, RELEVANCE_LABELS)]


def test_query_likelihood_is_dirichlet_smoothed(llm):
    counts = Counter(w for _, text in TEXTS for w in text.split())
    mu = sum(counts.values()) / 3
    # "green" stands in the passage, "boats" does not; both stems equal their words' stems in the collection.
    expected = [
        math.log((1 + mu * counts["green"] / 13) / (4 + mu)),
        math.log((0 + mu * counts["boats"] / 13) / (4 + mu)),
    ]
    assert likelihoods(llm, prompt(0, "green boats")) == [pytest.approx(sum(expected) / 2)]


def test_a_word_outside_the_collection_does_not_make_a_query_impossible(llm):
    (value,) = likelihoods(llm, prompt(0, "zebra"))
    assert math.isfinite(value)
    assert value < likelihoods(llm, prompt(0, "boats"))[0]


def test_relevance_orders_passages_as_bm25_does(llm):
    def bm25(query: str, i: int) -> float:
        bag = Counter(TEXTS[i][1].split())
        norm = BM25_K1 * (1 - BM25_B + BM25_B * bag.total() / (13 / 3))
        total = 0.0
        for word in query.split():
            df = sum(word in text.split() for _, text in TEXTS)
            total += math.log(1 + (3 - df + 0.5) / (df + 0.5)) * bag[word] * (BM25_K1 + 1) / (bag[word] + norm)
        return total

    query = "green apples"
    grades = [judged.grades[-1] for judged in llm.judge([prompt(i, query) for i in range(3)], RELEVANCE_LABELS)]
    scores = [bm25(query, i) for i in range(3)]
    assert sorted(range(3), key=grades.__getitem__) == sorted(range(3), key=scores.__getitem__)
    assert grades[0] > grades[1] > grades[2]


def test_labels_are_a_probability_distribution(llm):
    (judged,) = llm.judge([prompt(0, "green")], RELEVANCE_LABELS)
    assert sum(math.exp(v) for v in judged.grades) == pytest.approx(1)


def test_other_than_three_labels_and_a_missing_query_are_refused(llm):
    with pytest.raises(ValueError, match="grades on 3"):
        llm.judge([prompt(0, "x")], ["yes", "no"])
    with pytest.raises(ValueError, match="no query"):
        llm.judge([prompt(0)], RELEVANCE_LABELS)


def test_queries_are_words_of_the_lead_in_order_and_repeatable(llm):
    passage = PassagePrompt(
        "p", "", "The quick brown fox jumps over the lazy dog near a quiet river bank. Nothing else matters."
    )
    (reply,) = llm.generate([passage])
    task, query = reply.split("\n")
    assert task == "Task: search result"
    kept = query.removeprefix("Query: ").split()
    source = iter(passage.text.split())
    assert all(word in source for word in kept)  # a subsequence
    assert 3 <= len(kept) < 14
    assert llm.generate([passage]) == [reply]
    assert UnigramAnnotator(TEXTS, seed=2).generate([passage]) != [reply]


def test_a_query_keeps_the_words_that_say_something():
    common = [("", "return the value of the thing")] * 20
    passage = PassagePrompt("p", "", "Return the value of the Bessel function.")
    texts = [*common, ("", passage.text)]
    for seed in range(20):
        (reply,) = UnigramAnnotator(texts, drop_words=0.5, seed=seed).generate([passage])
        assert {"Bessel", "function."} <= set(reply.split())
    careless = [
        UnigramAnnotator(texts, drop_words=0.5, keep_content=0.0, seed=s).generate([passage])[0] for s in range(20)
    ]
    assert any("Bessel" not in reply for reply in careless)


def test_a_query_may_be_made_of_another_sentence_that_is_about_the_same():
    text = "Bees build hives of wax. Ships sail far away today. Old hives of bees smell sweet."
    passage = PassagePrompt("p", "", text)
    queries = {
        UnigramAnnotator(TEXTS, drop_words=0.0, other_sentences=0.5, seed=seed)
        .generate([passage])[0]
        .split("Query: ")[1]
        for seed in range(20)
    }
    assert queries == {"Bees build hives of wax.", "Old hives of bees smell sweet."}


def test_a_long_sentence_gives_a_short_query(llm):
    sentence = " ".join(f"word{i}" if i % 5 == 0 else "plain" for i in range(60)) + "."
    (reply,) = llm.generate([PassagePrompt("p", "", sentence)])
    assert 3 <= len(reply.split("Query: ")[1].split()) <= llm.max_query_words


def test_the_order_and_company_of_prompts_do_not_matter(llm):
    both = [
        PassagePrompt("a", "", "Some people like apples very much indeed."),
        PassagePrompt("b", "", "Other people like boats more."),
    ]
    assert llm.generate(both) == [*llm.generate(both[:1]), *llm.generate(both[1:])]
    assert llm.generate(both[::-1]) == llm.generate(both)[::-1]


def test_a_passage_without_prose_gives_an_empty_query(llm):
    assert llm.generate([PassagePrompt("p", "", "x = 1")]) == ["Task: search result\nQuery: "]


def test_what_a_passage_opens_with_counts_more():
    texts = [("", "Apples are grown here. Boats are kept there."), ("", "Boats are kept there. Apples are grown here.")]
    plain, weighted = (UnigramAnnotator(texts, lead_weight=w) for w in (0, 3))
    prompts = [PassagePrompt(str(i), *t, query="apples grown") for i, t in enumerate(texts)]
    a, b = likelihoods(plain, *prompts)
    assert a == pytest.approx(b)
    a, b = likelihoods(weighted, *prompts)
    assert a > b


def test_it_tells_now_and_then_and_at_the_end_how_many_are_done(llm, monkeypatch):
    monkeypatch.setattr(unigram, "TOLD_EVERY", 2)
    told = []
    llm.generate([prompt(i) for i in range(3)], told=told.append)
    llm.judge([prompt(0, "green")] * 5, RELEVANCE_LABELS, told=told.append)
    assert told == [2, 3, 2, 4, 5]
