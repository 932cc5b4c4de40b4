"""Word counts of passages, found by their text."""

from gecko_hf.llm.bags import Bags

PASSAGES = [("A", "one two two", {"one": 1, "two": 2}), ("B", "three", {"three": 1}), ("", "", {})]


def test_a_passage_gives_its_own_counts():
    bags = Bags(PASSAGES)
    assert [bags.find(title, text) for title, text, _ in PASSAGES] == [bag for *_, bag in PASSAGES]


def test_another_title_is_another_passage():
    assert Bags(PASSAGES).find("C", "three") is None


def test_title_and_text_do_not_run_into_each_other():
    assert Bags([("ab", "c", {"abc": 1})]).find("a", "bc") is None


def test_a_passage_that_stands_there_twice_is_found():
    assert Bags([*PASSAGES, *PASSAGES]).find("B", "three") == {"three": 1}


def test_an_empty_collection_has_none():
    assert Bags([]).find("A", "one two two") is None
