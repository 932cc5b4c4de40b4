import random

import numpy as np
import pytest

from gecko_hf.corpus.near import NearIndex, near_identical, rows_that_share, word_runs, words_and_pairs

LONG = " ".join(f"word{i}" for i in range(60))


def twins_of(*texts: str, threshold: float = 0.9, grams=word_runs) -> dict[int, int]:
    return near_identical(lambda: texts, threshold, grams)


def changed(text: str, place: int) -> str:
    words = text.split()
    words[place] = "changed"
    return " ".join(words)


def jaccard(a: str, b: str, run: int = 5) -> float:
    first, second = ({tuple(t.split()[i : i + run]) for i in range(len(t.split()) - run + 1)} for t in (a, b))
    return len(first & second) / len(first | second)


def test_a_text_that_is_the_same_but_for_case_and_punctuation_is_a_twin_of_the_first():
    assert twins_of("One text here.", "Another text.", "one TEXT, here") == {2: 0}


@pytest.mark.parametrize(("threshold", "found"), [(0.8, {1: 0}), (0.9, {})])
def test_near_twins_are_found_from_the_threshold_on(threshold: float, found: dict[int, int]):
    # 60 words have 56 grams of five words; one changed word at the seventh last place takes five of them:
    # 51 common grams of 61 in all, a Jaccard similarity of 0.836.
    assert twins_of(LONG, changed(LONG, -7), threshold=threshold) == found


def test_at_threshold_one_only_the_same_words_are_twins():
    texts = (LONG, f"{LONG} end", LONG.upper())
    assert twins_of(*texts, threshold=1.0) == {2: 0}
    assert twins_of(*texts) == {1: 0, 2: 0}


def test_a_twin_of_a_twin_belongs_to_the_text_that_stays():
    ends = [" ".join(f"end{i}" for i in range(count)) for count in (0, 4, 8)]
    texts = [f"{LONG} {end}" for end in ends]
    assert jaccard(texts[1], texts[2]) > 0.9 > jaccard(texts[0], texts[2])
    assert twins_of(*texts) == {1: 0}  # the third is like the second, which is gone, and not like the first


def test_short_texts_are_twins_only_if_they_are_the_same():
    assert twins_of("Short.", "Shorter.", "short") == {2: 0}
    assert twins_of() == {}


def test_word_order_counts_in_short_texts():
    texts = (
        "who wrote the first book on bees",
        "who wrote the first book on  bees?",
        "bees on book first the wrote who",
    )
    assert twins_of(*texts, threshold=0.8, grams=words_and_pairs) == {1: 0}


def test_nearly_all_pairs_above_the_threshold_are_found():
    draw = random.Random(0)
    texts = [" ".join(draw.choices([f"w{i}" for i in range(2000)], k=120)) for _ in range(200)]
    near = [changed(text, draw.randrange(len(text.split()))) for text in texts]
    similar = [i for i, (a, b) in enumerate(zip(texts, near, strict=True)) if jaccard(a, b) >= 0.91]
    found = twins_of(*texts, *near)
    assert len(similar) > 190
    assert sum(found.get(200 + i) == i for i in similar) >= 0.9 * len(similar)


def test_an_index_in_memory_finds_the_first_key_of_what_is_near():
    index = NearIndex(0.8)
    index.add("b", "who wrote the first book on bees")
    index.add("a", "Who wrote the first book on bees now")
    index.add("c", "who wrote the first book on bees")
    assert index.find("who wrote the first book, on bees?") == "b"
    assert index.find("who wrote the first book on bees now then") == "a"
    assert index.find("how do rivers end") is None


def test_rows_that_share_a_hash_are_all_of_them():
    assert rows_that_share(np.array([5, 1, 5, 2, 1, 5, 9], dtype=np.uint64)).tolist() == [0, 1, 2, 4, 5]
    assert rows_that_share(np.array([], dtype=np.uint64)).tolist() == []


def test_texts_without_spaces_between_words_are_compared_by_their_characters():
    text = "北京大学位于中国北京市海淀区是中国近代第一所国立综合性大学创办于一八九八年" * 3
    assert near_identical(lambda: [text, text[:-1] + "吗", text[::-1]], 0.9, word_runs) == {1: 0}
